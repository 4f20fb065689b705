"""A file of a server on this machine comes into the cache whole, or not at all, whatever the server does."""

import hashlib
import re
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hrdet_cli.activity import Activity, heard_by
from hrdet_cli.engine.weights.fetching import download as module
from hrdet_cli.engine.weights.fetching import transfer
from hrdet_cli.errors import WeightsError

CONTENT = b"weights" + bytes(range(256)) * 27
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]
OTHER = b"weights" * 1000
NAME = f"hrnet-{DIGEST}.pth"


def download(*urls: str, timeout_seconds: float = 5) -> Path:
    return module.download(
        urls[0], urls, accepts=lambda start: start.startswith(b"weights"), timeout_seconds=timeout_seconds
    )


class Handler(BaseHTTPRequestHandler):
    """Serves the same content everywhere; a folder's name says what is wrong there."""

    requested: list[str]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.requested.append(f"{self.path} {wanted}" if wanted else self.path)
        if "missing" in self.path:
            self.send_error(404)
        elif "moved" in self.path:
            self.redirect("ftp://127.0.0.1/weights.pth")
        elif "elsewhere" in self.path:
            self.redirect(self.path.replace("elsewhere", "here"))
        elif "silent" in self.path:
            self.answer(b"", len(CONTENT), start=0)
            self.server.released.wait()  # type: ignore[attr-defined]
        else:
            self.serve(wanted)

    def redirect(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.end_headers()

    def serve(self, wanted: str | None) -> None:
        content, is_later = CONTENT, len(self.requested) > 1
        if "page" in self.path:
            content = b"<html>log in" * 1000
        elif "other" in self.path or ("changing" in self.path and is_later):
            content = OTHER
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        has_changed = self.headers.get("If-Range", tag) != tag
        start = 0 if wanted is None or has_changed or "unranged" in self.path else int(wanted[6:-1])
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        most = 3000 if "breaking" in self.path and content == CONTENT else len(content)
        claimed = len(content) + {"long": 2000, "short": -2000}.get(self.path.split("/")[1], 0)
        self.answer(content[start : start + most], claimed, start=start, tag=tag)

    def answer(self, part: bytes, claimed: int, *, start: int, tag: str | None = None) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{claimed - 1}/{claimed}")
        if tag and "untagged" not in self.path:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(claimed - start))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_arguments: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def requested() -> list[str]:
    """Paths that were asked for."""
    return []


@pytest.fixture
def server(requested: list[str]) -> Iterator[str]:
    """Its address."""
    handler = type("RememberingHandler", (Handler,), {"requested": requested})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.released = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.released.set()  # type: ignore[attr-defined]
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    unset = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HRDET_OFFLINE", "HRDET_WEIGHTS_MIRROR")
    for name in unset:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(transfer, "_PAUSE_SECONDS", 0)
    return tmp_path / "hub" / "checkpoints"


def test_a_file_comes_into_the_cache_once(server: str, requested: list[str], cache: Path) -> None:
    url = f"{server}/models/{NAME}"
    path = download(url)
    assert path == cache / NAME
    assert path.read_bytes() == CONTENT
    assert download(url) == path
    assert requested == [f"/models/{NAME}"]
    assert list(cache.iterdir()) == [path]


def test_names_that_are_not_unique_do_not_meet(server: str, cache: Path) -> None:
    first, second = (download(f"{server}/{folder}/model.pth?download=1") for folder in ("a", "b"))
    assert first != second
    assert first.name.endswith("-model.pth")
    assert sorted(cache.iterdir()) == sorted([first, second])


@pytest.mark.parametrize("name", [NAME, "model.pth"])
def test_a_connection_that_breaks_off_is_taken_up(name: str, server: str, requested: list[str]) -> None:
    path = f"/breaking/{name}"
    assert download(f"{server}{path}").read_bytes() == CONTENT
    assert requested == [path, f"{path} bytes=3000-", f"{path} bytes=6000-"]


def test_a_server_that_gives_no_ranges_gives_all_again(
    server: str, requested: list[str], cache: Path
) -> None:
    (cache / NAME).parent.mkdir(parents=True)
    (cache / f"{NAME}.partial").write_bytes(CONTENT[:1000])
    assert download(f"{server}/unranged/{NAME}").read_bytes() == CONTENT
    assert requested == [f"/unranged/{NAME} bytes=1000-"]


def test_a_length_that_is_too_large_is_asked_about(server: str, requested: list[str]) -> None:
    """Where the connection ends too early, the answer to the next request has the true length (416)."""
    assert download(f"{server}/long/{NAME}").read_bytes() == CONTENT
    assert requested == [f"/long/{NAME}", f"/long/{NAME} bytes=6919-"]


def test_a_file_that_changes_in_between_is_fetched_anew(server: str) -> None:
    """The entity tag tells; the part that is there is dropped."""
    assert download(f"{server}/breaking/changing/model.pth").read_bytes() == OTHER


def test_what_broke_off_is_gone_on_with_in_a_later_call_and_at_another_address(
    server: str, requested: list[str], cache: Path
) -> None:
    cache.mkdir(parents=True)
    (cache / f"{NAME}.partial").write_bytes(CONTENT[:1000])
    assert download(f"{server}/missing/{NAME}", f"{server}/here/{NAME}").read_bytes() == CONTENT
    assert requested == [f"/missing/{NAME} bytes=1000-", f"/here/{NAME} bytes=1000-"]
    assert [path.name for path in cache.iterdir()] == [NAME]


@pytest.mark.parametrize("left", [OTHER[:1000], CONTENT + b"more", CONTENT])
def test_a_beginning_of_another_file_costs_one_more_request(left: bytes, server: str, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / f"{NAME}.partial").write_bytes(left)
    assert download(f"{server}/here/{NAME}").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "reason", "left"),
    [
        ("missing/model.pth", "HTTP Error 404: Not Found", 0),
        ("silent/model.pth", "timed out", 0),
        ("page/model.pth", "what came is no weights file", 0),
        (
            "moved/model.pth",
            "HTTP Error 302: it leads to ftp://127.0.0.1/weights.pth, which is not on the web",
            0,
        ),
        ("breaking/unranged/model.pth", "the connection ended after 3000 of 6919 bytes", 0),
        (f"breaking/unranged/{NAME}", "the connection ended after 3000 of 6919 bytes", 3000),
        ("short/hrnet-0123abcd.pth", "its SHA-256 starts with {short}, not with 0123abcd", 0),
        ("other/hrnet-0123abcd.pth", "its SHA-256 starts with {other}, not with 0123abcd", 0),
    ],
)
def test_a_failure_says_why_and_leaves_what_can_be_gone_on_with(
    name: str, reason: str, left: int, server: str, cache: Path
) -> None:
    starts = {
        "short": hashlib.sha256(CONTENT[:-2000]).hexdigest()[:8],
        "other": hashlib.sha256(OTHER).hexdigest()[:8],
    }
    with pytest.raises(WeightsError) as caught:
        download(f"{server}/{name}", timeout_seconds=0.3)
    assert str(caught.value) == (
        f"{server}/{name}: could not be fetched ({reason.format(**starts)}). Check the address and the "
        "connection, or fetch the file by other means and give its path."
    )
    assert [(path.suffix, path.stat().st_size) for path in cache.iterdir()] == (
        [(".partial", left)] if left else []
    )


class Heard:
    """Remembers what is said."""

    def __init__(self) -> None:
        self.shown: list[Activity | None] = []
        self.remarks: list[str] = []

    def show(self, activity: Activity | None) -> None:
        self.shown.append(activity)

    def remark(self, sentence: str) -> None:
        self.remarks.append(sentence)


def test_addresses_are_tried_in_order_and_each_failure_is_told(server: str) -> None:
    heard = Heard()
    with heard_by(heard):
        download(f"{server}/missing/{NAME}", f"{server}/page/{NAME}", f"{server}/elsewhere/{NAME}")
    assert heard.remarks == [
        f"{server}/missing/{NAME}: could not be fetched (HTTP Error 404: Not Found); trying the next address",
        f"{server}/page/{NAME}: could not be fetched (what came is no weights file); trying the next address",
    ]
    assert Activity(f"fetching {NAME}", 6919, 6919, "bytes") in heard.shown
    assert heard.shown[-1] is None


def test_where_no_address_has_it_all_are_told_in_one_error(server: str, cache: Path) -> None:
    urls, path = [f"{server}/{folder}/{NAME}" for folder in ("missing", "page")], cache / NAME
    with pytest.raises(WeightsError) as caught:
        download(*urls)
    assert str(caught.value).splitlines() == [
        f"{urls[0]}: could not be fetched from any address:",
        f"  {urls[0]}: HTTP Error 404: Not Found",
        f"  {urls[1]}: what came is no weights file",
        f"Check the connection, or fetch the file by other means and give its path, or put it to {path}.",
    ]


def test_a_cache_that_takes_no_file_is_told_and_no_other_address_is_tried(
    server: str, requested: list[str], cache: Path
) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    urls = [f"{server}/{folder}/{NAME}" for folder in ("models", "here")]
    with pytest.raises(WeightsError) as caught:
        download(*urls)
    assert str(caught.value) == (
        f"{urls[0]}: the cache {cache} cannot be written to (File exists). Make room there, set "
        "TORCH_HOME to another folder, or fetch the file by other means and give its path."
    )
    assert requested == []


def test_a_disk_without_room_is_told_and_no_other_address_is_tried(server: str, requested: list[str]) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(CONTENT) // 2, before[1]))
    try:
        with pytest.raises(WeightsError, match=r"checkpoints cannot be written to \(File too large\)\. Make"):
            download(f"{server}/models/{NAME}", f"{server}/here/{NAME}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert requested == [f"/models/{NAME}"]


def test_the_mirror_is_asked_first_for_the_name_in_the_cache(
    server: str, requested: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HRDET_WEIGHTS_MIRROR", f"{server}/mirror/")
    download(f"{server}/models/{NAME}")
    assert requested == [f"/mirror/{NAME}"]
    path = download(f"{server}/models/model.pth")
    assert requested[1:] == [f"/mirror/{path.name}"]
    monkeypatch.setenv("HRDET_WEIGHTS_MIRROR", f"{server}/missing")
    download(f"{server}/models/other.pth")
    assert requested[-1] == "/models/other.pth"


def test_offline_the_cache_serves_and_what_it_lacks_is_one_error(
    server: str, requested: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HRDET_OFFLINE", "1")
    url = f"{server}/models/{NAME}"
    with pytest.raises(WeightsError) as caught:
        download(url)
    assert str(caught.value) == (
        f"{url}: HRDET_OFFLINE is set, and the file is not in the cache. Put what is at {url} to "
        f"{cache / NAME}, or unset HRDET_OFFLINE."
    )
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(CONTENT)
    assert download(url) == cache / NAME
    assert requested == []


def test_a_file_of_another_content_in_the_cache_is_told(server: str, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(OTHER)
    found = hashlib.sha256(OTHER).hexdigest()[:8]
    with pytest.raises(WeightsError) as caught:
        download(f"{server}/models/{NAME}")
    assert str(caught.value) == (
        f"{cache / NAME}: its SHA-256 starts with {found}, not with {DIGEST}: it is damaged, or another "
        "file. Remove it, and it is fetched again."
    )


def test_a_server_that_is_not_there_is_said() -> None:
    with pytest.raises(WeightsError, match=r"could not be fetched \(.*Connection refused\)"):
        download("http://127.0.0.1:9/weights.pth")


def test_an_address_without_a_file_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"^https://example\.org/: names no file"):
        download("https://example.org/")


@pytest.mark.parametrize("folder", ["here", "breaking"])
def test_many_that_want_the_same_file_fetch_it_once(
    folder: str, server: str, requested: list[str], cache: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(download, [f"{server}/{folder}/{NAME}"] * 4))
    assert paths == {cache / NAME}
    assert len([path for path in requested if not re.search("bytes", path)]) == 1
    assert [path.name for path in cache.iterdir()] == [NAME]
