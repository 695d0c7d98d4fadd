"""Chromium without a window, driven as a hand would: keys, clicks, screenshots."""

import asyncio
import base64
import itertools
import os
import shutil
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--remote-debugging-port=0", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip
_CODES = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, " ": 32}
_PATIENCE = 20.0


def chromium() -> str:
    """Return the program; skip without it, or fail where tools are required."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found:
        return found
    if os.environ.get("XVCOMP_REQUIRE_TOOLS") == "1":
        pytest.fail("chromium is required here (XVCOMP_REQUIRE_TOOLS=1) but not installed")
    pytest.skip("chromium is not installed")


class Browser:
    """One tab, spoken to by the DevTools protocol."""

    def __init__(self, program: str, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._numbers = itertools.count(1)
        self._process = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port = self._port(folder / "DevToolsActivePort")
        self._run(self._connect(port))
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _port(self, file: Path) -> str:
        until = time.monotonic() + _PATIENCE
        while not (file.exists() and file.read_text().strip()):
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError("chromium did not start")
            time.sleep(0.05)
        return file.read_text().split()[0]

    def _run(self, work):
        return self._loop.run_until_complete(asyncio.wait_for(work, _PATIENCE))

    async def _connect(self, port: str) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
        self._socket = await self._session.ws_connect(
            tabs[0]["webSocketDebuggerUrl"], max_msg_size=0
        )
        self.events: list[dict] = []

    def call(self, method: str, **params):
        """Send a command; what happens meanwhile goes to ``events``."""

        async def work():
            number = next(self._numbers)
            await self._socket.send_json({"id": number, "method": method, "params": params})
            while True:
                message = await self._socket.receive_json()
                if message.get("id") == number:
                    return message
                self.events.append(message)

        answer = self._run(work())
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def open(self, url: str, ready: str = "document.body.dataset.ready === 'true'") -> None:
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait(f"document.body && location.href !== 'about:blank' && ({ready})")

    def evaluate(self, script: str):
        """Run a script in the page, waiting for promises; return its value."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                if self.evaluate(f"Boolean({condition})"):
                    return
            except RuntimeError:  # the page was just being replaced
                pass
            if time.monotonic() > until:
                raise TimeoutError(f"{condition}: {self.trouble()}")
            time.sleep(0.05)

    def press(self, key: str, shift: bool = False) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key,
                windowsVirtualKeyCode=_CODES.get(key, 0), modifiers=8 if shift else 0,
            )  # fmt: skip

    def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        """Click at a share of an element's width and height."""
        self.evaluate(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        left, top, width, height = self.evaluate(
            f"(b => [b.left, b.top, b.width, b.height])"
            f"(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        at = {"x": left + x * width, "y": top + y * height, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **at)

    def choose(self, selector: str, value: str) -> None:
        """Set a control to a value, as its user would."""
        self.evaluate(
            f"(e => {{ e.value = {value!r}; e.dispatchEvent(new Event('input'));"
            f" e.dispatchEvent(new Event('change')); }})(document.querySelector({selector!r}))"
        )

    def resize(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=phone,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def trouble(self) -> list[str]:
        """Return errors, and requests to anywhere, since the page was opened."""
        self.evaluate("0")
        found = []
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                # Tests read canvases back often, which Chromium finds worth a warning.
                if not params["entry"]["text"].startswith("Canvas2D: Multiple readback"):
                    found.append(params["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("file:", "data:", "blob:", "about:")):
                    found.append(url)
        return found

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        self._run(self._session.close())
        self._loop.close()
