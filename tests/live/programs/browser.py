"""Debian's Chromium, driven by the DevTools protocol over a pipe: no port, and no further package."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.live.programs.installed import REAL_CLOCK

# Seconds that a page or an answer may take on a machine that is busy with other tests.
PATIENCE = 30.0
_PIECE = 65536
_BOX = "document.querySelector(%r).getBoundingClientRect()"
_CUT_WORDS = r"""(() => {
  const found = [], range = document.createRange();
  for (const cell of document.querySelectorAll("td, th, figcaption span")) {
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) for (const word of texts.currentNode.data.matchAll(/[A-Za-z0-9]{2,20}/g)) {
      range.setStart(texts.currentNode, word.index);
      range.setEnd(texts.currentNode, word.index + word[0].length);
      if (range.getClientRects().length > 1) found.push(word[0]);
    }
  }
  return found;
})()"""


class BrowserFailed(AssertionError):
    """The browser or a page did not do what the test needs to go on."""


class Browser:
    """A browser with one page.

    @ivar complaints: errors and exceptions of the console.
    """

    def __init__(self, home: Path, width: int = 1200, height: int = 900) -> None:
        home.mkdir(parents=True, exist_ok=True)
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        # The browser reads commands at descriptor 3 and writes answers to descriptor 4.
        script = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            f"--user-data-dir={home / 'profile'}",
            f"--window-size={width},{height}",
            "--remote-debugging-pipe",
        ]
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", "chromium", *options, "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **REAL_CLOCK, "HOME": str(home)},
        )
        os.close(to_browser)
        os.close(from_browser)
        self._number = 0
        self._rest = b""
        self.complaints: list[str] = []
        targets = self._call("Target.getTargets", session="")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        attached = self._call("Target.attachToTarget", {"targetId": target, "flatten": True}, session="")
        self._session = str(attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise BrowserFailed("the browser does not answer")
            piece = os.read(self._in, _PIECE)
            if not piece:
                raise BrowserFailed("the browser has ended")
            self._rest += piece
        octets, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(octets)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        given = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(given["exceptionDetails"])[:500])
            case "Runtime.consoleAPICalled" if given["type"] in ("error", "warning"):
                self.complaints.append(str(given["args"])[:500])
            case "Log.entryAdded" if given["entry"]["level"] == "error":
                self.complaints.append(str(given["entry"])[:500])

    def _call(self, method: str, params: dict[str, Any] | None = None, session: str | None = None) -> Any:
        self._number += 1
        command = {"id": self._number, "method": method, "params": params or {}}
        used = self._session if session is None else session
        if used:
            command["sessionId"] = used
        os.write(self._out, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            message = self._message(deadline)
            if message.get("id") == self._number:
                if "error" in message:
                    raise BrowserFailed(f"{method}: {message['error']}")
                return message["result"]

    def open(self, address: str) -> None:
        """Load a page, and wait until it is there."""
        found = self._call("Page.navigate", {"url": address})
        if found.get("errorText"):
            raise BrowserFailed(f"{address}: {found['errorText']}")
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page; of a promise, its result."""
        found = self._call("Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in found:
            raise BrowserFailed(f"{script}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait until an expression in the page is true."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if self.run(f"Boolean({condition})"):
                    return
            except BrowserFailed as error:
                # While one page gives way to the next, there is nothing to evaluate in.
                if "context" not in str(error) and "navigated" not in str(error):
                    raise
            if time.monotonic() > deadline:
                raise BrowserFailed(f"{condition} does not become true")
            # A pause in the page, not here, so that its events are read meanwhile.
            self._call(
                "Runtime.evaluate", {"expression": "new Promise(done => setTimeout(done, 50))", "awaitPromise": True}
            )

    def click(self, selector: str) -> None:
        """Click on an element."""
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def write(self, selector: str, text: str) -> None:
        """Set the value of a field."""
        self.run(f"document.querySelector({json.dumps(selector)}).value = {json.dumps(text)}")

    def text(self, selector: str = "body") -> str:
        """Return the text that an element shows."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def resize(self, width: int, height: int) -> None:
        """Change the size of the window."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", size)

    def prefer(self, scheme: str) -> None:
        """Prefer light or dark colours."""
        self._call("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def cut_words(self) -> list[str]:
        """Return the words and numbers of tables and plots that are broken into pieces on two lines."""
        found: list[str] = self.run(_CUT_WORDS)
        return found

    def picture(self, path: Path, selector: str = "") -> None:
        """Write what the window shows, or one element of the page, to a PNG file."""
        options: dict[str, Any] = {}
        if selector:
            box = self.run(f"(box => [box.x + scrollX, box.y + scrollY, box.width, box.height])({_BOX % selector})")
            clip = dict(zip(("x", "y", "width", "height"), box, strict=True))
            options = {"captureBeyondViewport": True, "clip": {**clip, "scale": 1}}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", options)["data"]))

    def close(self) -> None:
        """End the browser."""
        os.close(self._out)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
