"""Files from the net, in torch.hub's cache; a file is there whole or not at all."""

import fcntl
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPMessage
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import torch

from hrdet_cli.engine.weights.names import URL_STARTS
from hrdet_cli.errors import WeightsError

_TIMEOUT_SECONDS = 60
"""Without a byte."""
_CHUNK_BYTES = 1 << 20
_UNKNOWN = -1


def download(
    url: str, *, accepts: Callable[[bytes], bool], timeout_seconds: float = _TIMEOUT_SECONDS
) -> Path:
    """Fetch a file, unless the cache has it.

    The cache is ``checkpoints`` in ``torch.hub.get_dir()``, so that what other programs fetched is found.
    Where a file's name carries the start of its SHA-256, as torch's and mmdetection's do, it is checked.
    Processes that want the same file fetch it once.

    Args:
        url: ``https://`` or ``http://``.
        accepts: Whether what starts with certain bytes may come into the cache, so that no page that says
            "log in" stays there.
        timeout_seconds: How long the other side may be silent.

    Returns:
        The file in the cache.

    Raises:
        WeightsError: It could not be fetched; nothing of it is left behind.
    """
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if not name:
        raise WeightsError(f"{url}: names no file; give the address of a weights file.")
    digest = _digest_in(name)
    if digest is None:  # names such as model.pth are not unique
        name = f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"
    path = Path(torch.hub.get_dir(), "checkpoints", name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(path.parent):
            if not path.is_file():
                _fetch(url, path, digest, accepts, timeout_seconds)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the answer, too
        raise WeightsError(
            f"{url}: could not be fetched ({_reason(error)}). Check the address and the connection, or fetch "
            "the file by other means and give its path."
        ) from error
    return path


def _fetch(
    url: str, path: Path, digest: str | None, accepts: Callable[[bytes], bool], timeout_seconds: float
) -> None:
    """Write the file beside its place, and move it there once it is known to be whole."""
    request = urllib.request.Request(url, headers={"User-Agent": "hrdet"})  # noqa: S310 - http and https only
    partial = path.with_name(f"{path.name}.partial")
    sha256, num_bytes, start = hashlib.sha256(), 0, b""
    try:
        opener = urllib.request.build_opener(_WebRedirects)
        with opener.open(request, timeout=timeout_seconds) as answer, partial.open("wb") as file:
            expected = int(answer.headers.get("Content-Length", _UNKNOWN))
            while chunk := answer.read(_CHUNK_BYTES):
                file.write(chunk)
                sha256.update(chunk)
                num_bytes += len(chunk)
                start = start or chunk
        if expected not in (num_bytes, _UNKNOWN):
            raise ValueError(f"the connection ended after {num_bytes} of {expected} bytes")
        if digest is not None and not sha256.hexdigest().startswith(digest):
            raise ValueError(f"its SHA-256 starts with {sha256.hexdigest()[:8]}, not with {digest[:8]}")
        if not accepts(start):
            raise ValueError("what came is no weights file")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _WebRedirects(urllib.request.HTTPRedirectHandler):
    """Follows addresses of the web only; Python would follow ``ftp://`` too."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.lower().startswith(URL_STARTS):
            reason = f"it leads to {newurl}, which is not on the web"
            raise urllib.error.HTTPError(req.full_url, code, reason, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _digest_in(name: str) -> str | None:
    """The start of a SHA-256 at the end of a name: ``resnet50-0676ba61.pth``; a date has no letters."""
    found = re.search(r"-([0-9a-f]{8,64})\.[a-z]+\Z", name)
    return found[1] if found and not found[1].isdecimal() else None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let one process of this machine at a time fetch into a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return str(error.reason)
    return str(error) or type(error).__name__
