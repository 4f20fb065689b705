"""Weights of a repository at the Hugging Face hub, and that hub's client. The package is an extra."""

import http.client
import logging
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hrdet_cli.activity import doing
from hrdet_cli.engine.weights.fetching.cache import is_offline
from hrdet_cli.engine.weights.names import HUB
from hrdet_cli.errors import WeightsError
from hrdet_cli.extras import install_command

_PROBE_SECONDS = 10
_QUIET_LOGGERS = ("huggingface_hub", "timm")
_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/@]+))?(?:/(?P<file>.+))?")
_USUAL_FILES = ("model.safetensors", "pytorch_model.bin")
_ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".pkl")


def fetch_hub_file(source: str) -> Path:
    """Fetch a file of a repository into the hub's cache, unless it is there.

    Args:
        source: ``hf:OWNER/NAME``, where a revision (a branch, tag or commit) may follow behind ``@`` and a
            file behind ``/``. Without a file it is ``model.safetensors``, or ``pytorch_model.bin``, or else
            the only one with the ending of a weights file.

    Raises:
        WeightsError: The package is not installed, the name is none, or the file cannot be had.
    """
    found = _NAME.fullmatch(source.removeprefix(HUB))
    if found is None:
        raise WeightsError(f"{source}: is no name at the hub; write {HUB}OWNER/NAME[@REVISION][/FILE]")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise WeightsError(
            f"{source}: needs the package huggingface_hub; install it with: {install_command('hub')}"
        ) from error
    repository, revision = found["repository"], found["revision"]
    unreachable = why_unreachable()
    try:
        with quiet_hub(only_cache=unreachable is not None), doing(f"fetching {source}"):
            file = found["file"] or _find_file(source, repository, revision)
            return Path(hf_hub_download(repository, file, revision=revision))
    except WeightsError:
        raise
    except Exception as error:  # whatever its downloader raises
        raise WeightsError(
            f"{source}: could not be fetched ({unreachable or first_line(error)}). Check the name and the "
            "connection; a private repository wants a token in HF_TOKEN."
        ) from error


def _find_file(source: str, repository: str, revision: str | None) -> str:
    """Which file of a repository holds its weights; where the hub is not asked, of those in the cache."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        files = _files_in_cache(repository, revision)
        if not files:
            return _USUAL_FILES[0]
    else:
        files = HfApi().list_repo_files(repository, revision=revision)
    names = sorted(name for name in files if name.endswith(_ENDINGS))
    usual = next((name for name in _USUAL_FILES if name in names), None)
    if usual is None and len(names) != 1:
        several = f"several files of weights; name one, such as {source}/{names[0]}" if names else ""
        raise WeightsError(f"{source}: holds {several or 'no file of weights'}")
    return usual or names[0]


def _files_in_cache(repository: str, revision: str | None) -> list[str]:
    """Names of the files of a repository that the hub's cache has."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return []
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def why_unreachable() -> str | None:
    """Why the hub is not asked, or does not answer; None if it does, whatever it says."""
    from huggingface_hub import constants

    if is_offline() or constants.HF_HUB_OFFLINE:
        return "nothing is fetched while HRDET_OFFLINE or HF_HUB_OFFLINE is set, and the hub's cache lacks it"
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")  # noqa: S310 - the hub's own address
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):  # noqa: S310
            return None
    except urllib.error.HTTPError as error:
        error.close()  # it is the answer, too
        return None
    except urllib.error.URLError as error:
        return f"{constants.ENDPOINT} cannot be reached: {error.reason}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{constants.ENDPOINT} cannot be reached: {error or type(error).__name__}"


@contextmanager
def quiet_hub(*, only_cache: bool) -> Iterator[None]:
    """Inside, the hub's client and timm log errors only, and draw no bars.

    Args:
        only_cache: The client asks its cache alone: where the hub does not answer, it would try for a minute.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    loggers = [logging.getLogger(name) for name in _QUIET_LOGGERS]
    levels, was_offline = [logger.level for logger in loggers], constants.HF_HUB_OFFLINE
    had_bars = not are_progress_bars_disabled()
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        constants.HF_HUB_OFFLINE = was_offline or only_cache
        if had_bars:
            disable_progress_bars()
        yield
    finally:
        constants.HF_HUB_OFFLINE = was_offline
        if had_bars:
            enable_progress_bars()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def first_line(error: Exception) -> str:
    """What an error says, shortly."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
