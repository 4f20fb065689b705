"""A file of a server on this machine comes into the cache whole, or not at all."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from hrdet_cli.engine.weights import download as module
from hrdet_cli.errors import WeightsError

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


def download(url: str, *, timeout_seconds: float = 5) -> Path:
    return module.download(
        url, accepts=lambda start: start.startswith(b"weights"), timeout_seconds=timeout_seconds
    )


class Handler(BaseHTTPRequestHandler):
    requested: list[str]

    def do_GET(self) -> None:
        self.requested.append(self.path)
        if "missing" in self.path:
            self.send_error(404)
            return
        if "moved" in self.path:
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/weights.pth")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if "silent" in self.path:
            self.server.released.wait()  # type: ignore[attr-defined]
            return
        content = b"<html>log in" * 1000 if "page" in self.path else CONTENT
        self.wfile.write(content[: 100 if "cut" in self.path else len(CONTENT)])

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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def test_a_file_comes_into_the_cache_once(server: str, requested: list[str], cache: Path) -> None:
    url = f"{server}/models/hrnet-{DIGEST}.pth"
    path = download(url)
    assert path == cache / f"hrnet-{DIGEST}.pth"
    assert path.read_bytes() == CONTENT
    assert download(url) == path
    assert requested == [f"/models/hrnet-{DIGEST}.pth"]
    assert list(cache.iterdir()) == [path]


def test_names_that_are_not_unique_do_not_meet(server: str, cache: Path) -> None:
    first, second = (download(f"{server}/{folder}/model.pth?download=1") for folder in ("a", "b"))
    assert first != second
    assert first.name.endswith("-model.pth")
    assert sorted(cache.iterdir()) == sorted([first, second])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.pth", "HTTP Error 404: Not Found"),
        ("cut.pth", "the connection ended after 100 of 7000 bytes"),
        ("cut-20200130.pth", "the connection ended after 100 of 7000 bytes"),  # a date, not a digest
        ("silent.pth", "timed out"),
        ("page.pth", "what came is no weights file"),
        ("moved.pth", "HTTP Error 302: it leads to ftp://127.0.0.1/weights.pth, which is not on the web"),
        ("hrnet-0123abcd.pth", f"its SHA-256 starts with {DIGEST}, not with 0123abcd"),
    ],
)
def test_a_failure_leaves_nothing_and_says_what_to_do(
    name: str, reason: str, server: str, cache: Path
) -> None:
    with pytest.raises(WeightsError) as caught:
        download(f"{server}/{name}", timeout_seconds=0.3)
    assert str(caught.value) == (
        f"{server}/{name}: could not be fetched ({reason}). Check the address and the connection, or fetch "
        "the file by other means and give its path."
    )
    assert list(cache.iterdir()) == []


def test_a_server_that_is_not_there_is_said(cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"could not be fetched \(.*Connection refused\)"):
        download("http://127.0.0.1:9/weights.pth")


def test_an_address_without_a_file_is_refused(cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"^https://example\.org/: names no file"):
        download("https://example.org/")


def test_many_that_want_the_same_file_fetch_it_once(server: str, requested: list[str], cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(download, [f"{server}/weights.pth"] * 4))
    assert len(paths) == 1
    assert requested == ["/weights.pth"]
