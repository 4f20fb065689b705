"""A real browser for tests of pages: a headless Chromium, spoken to through its debugging pipe.

Chrome DevTools Protocol: https://chromedevtools.github.io/devtools-protocol/. Messages are JSON with a zero
byte behind; the browser reads them from its descriptor 3 and answers on 4 (``--remote-debugging-pipe``).
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "HRDET_TEST_BROWSER"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS = (390, 1280)
"""A phone's and a desktop's, in pixels of style sheets."""
_SECONDS = 60.0
_MOST_HEIGHT = 16_000
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
_FINDINGS = """
(async () => {
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  return {
    width: document.documentElement.scrollWidth,
    height: document.documentElement.scrollHeight,
    text: document.body.innerText,
    missing: [...document.images].filter((image) => !image.naturalWidth).map((image) => image.alt),
  };
})()
"""


def find_browser() -> str | None:
    """The program to start: what the variable names, or the first name on the path; None without."""
    named = os.environ.get(VARIABLE)
    return named or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A running browser.

    Args:
        program: What to start.
        folder: For its profile and what it says.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._log = folder / "browser.log"
        self._received, self._number, self._events = b"", 0, list[dict[str, Any]]()
        from_us, self._to = _high_pipe()
        self._from, to_us = _high_pipe()
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        places = {from_us: 3, to_us: 4, log: 2}
        actions = [(os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in places.items()]
        arguments = [program, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self._process = os.posix_spawn(program, arguments, os.environ, file_actions=actions, setsid=True)
        for descriptor in places:
            os.close(descriptor)

    def close(self) -> None:
        """End it, and all processes that it started."""
        for descriptor in (self._to, self._from):
            os.close(descriptor)
        with suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)

    @contextmanager
    def open(self, page: Path, *, width: int, is_dark: bool = False) -> Iterator["Tab"]:
        """A tab in which a page has loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        try:
            tab = Tab(self, session, width)
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable", session=session)
            tab.call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=900,
                deviceScaleFactor=1,
                mobile=width < 600,
            )
            theme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
            tab.call("Emulation.setEmulatedMedia", features=[theme])
            tab.load(page)
            yield tab
        finally:
            self.call("Target.closeTarget", targetId=target)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Have something done, and wait until it is."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self._events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def wait_for(self, method: str, session: str) -> None:
        """Until an event has come."""
        while not any(event.get("method") == method for event in self.events(session)):
            self._events.append(self._receive())

    def events(self, session: str) -> list[dict[str, Any]]:
        """All that came from a tab so far."""
        return [event for event in self._events if event.get("sessionId") == session]

    def _receive(self) -> dict[str, Any]:
        ends_at = time.monotonic() + _SECONDS
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._from], [], [], max(0.0, ends_at - time.monotonic()))
            more = os.read(self._from, 1 << 20) if ready else b""
            assert more, f"the browser {'ended' if ready else 'is silent'}: {self._log.read_text()[-2000:]}"
            self._received += more
        first, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message


@dataclass(frozen=True, slots=True)
class Tab:
    """A page as a reader sees it."""

    browser: Browser
    session: str
    width: int

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have something done in this tab."""
        return self.browser.call(method, self.session, **parameters)

    def load(self, page: Path) -> None:
        """Load a file, and wait until it is there."""
        answer = self.call("Page.navigate", url=page.absolute().as_uri())
        assert not answer.get("errorText"), f"{page}: {answer['errorText']}"
        self.browser.wait_for("Page.loadEventFired", self.session)

    def evaluate(self, script: str) -> Any:
        """The value of an expression, once it is there."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def save_screenshot(self, file: Path) -> None:
        """The whole page as a PNG."""
        height = min(self.evaluate("document.documentElement.scrollHeight"), _MOST_HEIGHT)
        clip = {"x": 0, "y": 0, "width": self.width, "height": height, "scale": 1}
        answer = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(answer["data"]))

    def problems(self) -> list[str]:
        """Errors of its console, what it asked a network for, pictures that are missing, its width."""
        findings = self.evaluate(_FINDINGS)
        problems = [f"picture does not load: {alt}" for alt in findings["missing"]]
        if findings["width"] > self.width:
            problems.append(f"{findings['width']} pixels wide, on a screen of {self.width}")
        return problems + [
            problem for event in self.browser.events(self.session) if (problem := _problem(event))
        ]

    def text(self) -> str:
        """What is read, without what is folded away."""
        return str(self.evaluate("document.body.innerText"))


def check_page(browser: Browser, page: Path, folder: Path) -> None:
    """Look at a page on a phone and on a desktop, in light and in dark.

    Leaves a picture of each in the folder, called ``NAME-WIDTH-THEME.png``.

    Raises:
        AssertionError: Something is wrong with it, see `Tab.problems`.
    """
    for width in WIDTHS:
        for theme in ("light", "dark"):
            with browser.open(page, width=width, is_dark=theme == "dark") as tab:
                problems = tab.problems()
                tab.save_screenshot(folder / f"{page.stem}-{width}-{theme}.png")
            assert not problems, f"{page} at {width} pixels, {theme}: {problems}"


def _problem(event: dict[str, Any]) -> str | None:
    """What an event says that should not be; None of any other."""
    parameters = event["params"]
    match event["method"]:
        case "Runtime.exceptionThrown":
            return f"error in a script: {parameters['exceptionDetails']}"
        case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "assert", "warning"):
            return f"console: {parameters['args']}"
        case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
            return f"log: {parameters['entry']['text']}"
        case "Network.requestWillBeSent":
            address = str(parameters["request"]["url"])
            return None if address.startswith(("file:", "data:")) else f"asks a network for {address}"
    return None


def _high_pipe() -> tuple[int, int]:
    """A pipe whose descriptors are none of those that the browser's will be."""
    pair = os.pipe()
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10) for descriptor in pair]
    for descriptor in pair:
        os.close(descriptor)
    return high[0], high[1]
