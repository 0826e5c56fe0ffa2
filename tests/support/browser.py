# SPDX-License-Identifier: MIT
"""A real headless browser, driven over its own pipe: opens a page as wide as asked, light or dark, and looks at it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def found() -> str | None:
    """The browser's program; None when there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """Speaks the DevTools protocol: JSON messages that end in a zero byte."""

    def __init__(self, to: int, back: int) -> None:
        self._to = open(to, "wb", buffering=0)  # noqa: SIM115 - closed by close
        self._back = open(back, "rb")  # noqa: SIM115
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._to.close()
        self._back.close()

    def call(self, method: str, **given: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": given}
        if self._session is not None:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _message(self) -> dict[str, Any]:
        seen = bytearray()
        while (byte := self._back.read(1)) != b"\0":
            assert byte, "the browser ended"
            seen += byte
        message: dict[str, Any] = json.loads(seen)
        return message

    def open(self, page: Path, *, width: int, dark: bool = False) -> None:
        """Open the page and wait until it is loaded."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=page.absolute().as_uri())
        while not any(one.get("method") == "Page.loadEventFired" for one in self.events):
            self.events.append(self._message())

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression: the debugger's own, which the page's policy does not forbid."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def picture(self, to: Path) -> None:
        """Write the whole page as a PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        to.write_bytes(base64.b64decode(data))

    def requested(self) -> list[str]:
        """Addresses that the page asked for, itself among them."""
        sent = (one for one in self.events if one.get("method") == "Network.requestWillBeSent")
        return [one["params"]["request"]["url"] for one in sent]

    def complaints(self) -> list[str]:
        """What the browser logged."""
        return [one["params"]["entry"]["text"] for one in self.events if one.get("method") == "Log.entryAdded"]


@contextlib.contextmanager
def browser(home: Path) -> Iterator[Browser]:
    """Start one with a profile of its own, and end it."""
    program = found()
    assert program is not None
    (theirs_in, to), (back, theirs_out) = os.pipe(), os.pipe()
    script = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={home}"]
    child = subprocess.Popen(
        ["bash", "-c", script, "browser", program, *flags],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(home)},
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        opened = Browser(to, back)
        with contextlib.closing(opened):
            yield opened
    finally:
        child.terminate()
        child.wait(timeout=30)
