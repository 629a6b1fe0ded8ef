"""Headless Chromium over its debugging socket, for tests that look at pages as a person would.

With `HANSA_SCREENSHOTS` set to a folder it leaves pictures there.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

BROWSER = os.environ.get("HANSA_CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
ALERT_HOOK = "window.alerts=[];window.alert=text=>window.alerts.push(text);"


class Browser:
    """One tab of a headless browser."""

    def __init__(self, process: asyncio.subprocess.Process, session: aiohttp.ClientSession, socket: Any) -> None:
        self.process, self.session, self.socket = process, session, socket
        self.number = 0
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        self.complaints: list[str] = []
        self.tab: str | None = None
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            found = json.loads(message.data)
            if "id" in found:
                self.waiting.pop(found["id"]).set_result(found)
            elif found["method"] == "Log.entryAdded":
                self.complaints.append(found["params"]["entry"]["text"])
            elif found["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(found["params"]["exceptionDetails"])[:500])

    async def call(self, method: str, **params: Any) -> Any:
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.tab is not None:
            message["sessionId"] = self.tab
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting[self.number] = future
        await self.socket.send_str(json.dumps(message))
        async with asyncio.timeout(20):
            found = await future
        assert "error" not in found, found
        return found["result"]

    async def js(self, expression: str) -> Any:
        found = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return found["result"].get("value")

    async def until(self, expression: str, seconds: float = 8.0) -> Any:
        """Wait until an expression is true in the page, and return it."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    value = await self.js(expression)
                except AssertionError:
                    value = None  # the page is just changing
                if value:
                    return value
                await asyncio.sleep(0.05)

    async def go(self, address: str) -> None:
        await self.call("Page.navigate", url=address)
        await self.until("document.readyState === 'complete'")

    async def size(self, width: int, height: int = 900, scheme: str = "light") -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 700
        )
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def picture(self, name: str) -> None:
        folder = os.environ.get("HANSA_SCREENSHOTS")
        if folder:
            found = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
            await asyncio.to_thread(Path(folder, f"{name}.png").write_bytes, base64.b64decode(found["data"]))


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Start a browser with one empty tab, and end it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
            stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stderr is not None
        try:
            async with asyncio.timeout(30):
                while not (found := re.search(rb"ws://\S+", await process.stderr.readline())):
                    pass
            drain = asyncio.create_task(process.stderr.read())
            async with aiohttp.ClientSession() as session:
                socket = await session.ws_connect(found.group(0).decode(), max_msg_size=0)
                tab = Browser(process, session, socket)
                target = await tab.call("Target.createTarget", url="about:blank")
                attached = await tab.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
                tab.tab = attached["sessionId"]
                for domain in ("Page", "Runtime", "Log"):
                    await tab.call(f"{domain}.enable")
                await tab.call("Page.addScriptToEvaluateOnNewDocument", source=ALERT_HOOK)
                yield tab
                await socket.close()
                tab.reader.cancel()
            drain.cancel()
        finally:
            process.terminate()
            await process.wait()
