"""One address into one file, taken up where it was broken off."""

import http.client
import os
import re
import time
import urllib.error
import urllib.request
from email.message import Message
from http.client import HTTPMessage
from typing import IO, BinaryIO

from hrdet_cli.activity import Advance, doing
from hrdet_cli.engine.weights.names import URL_STARTS

_CHUNK_BYTES = 1 << 20
_MOST_PARTS = 20
"""Of one file; a connection that gives nothing is not taken up at all."""
_PAUSE_SECONDS = 0.5
_RANGE_NOT_SATISFIABLE = 416
_PARTIAL_CONTENT = 206


class TransferError(Exception):
    """A file could not be had from an address; the text says why."""


class WritingError(Exception):
    """What came could not be written; the text says why."""


def fetch(url: str, file: BinaryIO, *, what: str, timeout_seconds: float) -> None:
    """Write what is at an address into a file.

    What the file holds already is taken for the beginning, and the rest is asked for (RFC 9110, section 14).
    So it is when the connection breaks off, with the entity tag of the answer where it had one
    (``If-Range``), so that the parts are of one file. A server that gives no ranges gives all of it again.

    Args:
        url: ``https://`` or ``http://``.
        file: Open for reading and writing.
        what: What to call it while it is fetched.
        timeout_seconds: How long the other side may be silent.

    Raises:
        TransferError: It could not be had; what came of it is in the file.
        WritingError: The disk is full, or takes nothing for another reason.
    """
    tag: str | None = None
    fault = ""
    with doing(f"fetching {what}", unit="bytes") as advance:
        for _ in range(_MOST_PARTS):
            num_had = _size(file)
            try:
                with _open(url, num_had, tag, timeout_seconds) as answer:
                    tag = _strong_tag(answer.headers)
                    expected = _receive(answer, file, num_had, advance)
                if expected in (None, _size(file)):
                    return
                fault = f"the connection ended after {_size(file)} of {expected} bytes"
            except urllib.error.HTTPError as error:
                error.close()  # it is the answer, too
                if error.code != _RANGE_NOT_SATISFIABLE or not num_had:
                    raise TransferError(str(error)) from error
                if _size_in(error.headers) == num_had:
                    return
                file.truncate(0)  # what is there is not of this file
                continue
            except (OSError, http.client.HTTPException, ValueError) as error:
                fault = _reason(error)
            if _size(file) <= num_had:
                break
            time.sleep(_PAUSE_SECONDS)
    raise TransferError(fault)


def _open(url: str, num_had: int, tag: str | None, timeout_seconds: float) -> http.client.HTTPResponse:
    headers = {"User-Agent": "hrdet", "Accept-Encoding": "identity"}
    if num_had:
        headers["Range"] = f"bytes={num_had}-"
        if tag is not None:
            headers["If-Range"] = tag
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http and https only
    opener = urllib.request.build_opener(_WebRedirects)
    answer: http.client.HTTPResponse = opener.open(request, timeout=timeout_seconds)
    return answer


def _receive(answer: http.client.HTTPResponse, file: BinaryIO, num_had: int, advance: Advance) -> int | None:
    """Write an answer behind what is there, or in its place; returns the size of the whole, if it is said."""
    if answer.status == _PARTIAL_CONTENT and _start_in(answer.headers) == num_had:
        num_bytes, expected = num_had, _size_in(answer.headers)
    else:
        num_bytes, expected = 0, _content_length(answer.headers)
        file.truncate(0)
    file.seek(num_bytes)
    while chunk := answer.read(_CHUNK_BYTES):
        _write(file, chunk)
        num_bytes += len(chunk)
        advance(num_bytes, expected)
    return expected


def _write(file: BinaryIO, chunk: bytes) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise WritingError(error.strerror or str(error)) from error


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _content_length(headers: Message) -> int | None:
    length = headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _start_in(headers: Message) -> int | None:
    """The first byte of a range: ``bytes 100-6999/7000``."""
    found = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _size_in(headers: Message) -> int | None:
    """The size of the whole behind a range: ``bytes 100-6999/7000``, ``bytes */7000``."""
    found = re.search(r"/(\d+)\Z", headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _strong_tag(headers: Message) -> str | None:
    """What ``If-Range`` may have: an entity tag that is not weak."""
    tag: str | None = headers.get("ETag")
    return None if tag is None or tag.startswith("W/") else tag


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


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return str(error.reason)
    return str(error) or type(error).__name__
