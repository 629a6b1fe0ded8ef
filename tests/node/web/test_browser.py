"""The pages in a real browser: sign in, live updates, filters without a reload, no policy violation, 360 px (U51-U54).

Drives headless Chromium over its debugging socket; left out where no such browser is installed. With
`HANSA_SCREENSHOTS` set to a folder it leaves pictures there.
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
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from node.api.settings import ApiSettings
from node.web.serve import serve_api

BROWSER = os.environ.get("HANSA_CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

ALERT_HOOK = "window.alerts=[];window.alert=text=>window.alerts.push(text);"
PAGES = ("/", "/invoices", "/invoices/{accepted}", "/payments", "/payments/{payment}", "/books", "/books/journal",
         "/books/ageing", "/network", "/blocks", "/blocks/1", "/transactions/{refused}", "/search?q=corex",
         "/docs/problems")  # fmt: skip


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


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
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


async def opened(world: Any, browser: Browser) -> tuple[Any, str]:
    """Serve a world, sign in with a token as a person would, and return (runner, address)."""
    runner = await serve_api(world, ApiSettings(port=0))
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    await browser.size(1280)
    await browser.go(f"{address}/invoices")
    token = world.token("preparer", scopes=["read", "submit"])
    await browser.js(f"document.querySelector('#token').value = '{token}'")
    await browser.js("document.querySelector('form.stack button').click()")
    await browser.until("location.pathname === '/invoices' && !!document.querySelector('h1')")
    return runner, address


@pytest.mark.control("S50", "T38")
async def test_u51_every_page_works_under_the_policy_and_at_360_pixels(trade: Any, browser: Browser) -> None:
    runner, address = await opened(trade, browser)
    try:
        for path in PAGES:
            path = re.sub(r"\{(\w+)\}", lambda found: getattr(trade.trade, found.group(1)), path)
            name = re.sub(r"[^a-z]+", "-", path.split("?")[0].strip("/"))[:24] or "home"
            await browser.size(1280)
            await browser.go(address + path)
            await browser.picture(name)
            await browser.size(360, 740)
            width = await browser.js("document.documentElement.scrollWidth")
            assert width <= 360, f"{path} is {width} pixels wide"
            await browser.picture(f"{name}-360")
        assert browser.complaints == []
    finally:
        await runner.cleanup()


async def test_u51_the_network_page_updates_by_itself(trade: Any, browser: Browser) -> None:
    runner, address = await opened(trade, browser)
    try:
        await browser.go(f"{address}/network")
        assert "4 of 4 members" in await browser.js("document.querySelector('.sentence').textContent")
        trade.cut = {index for index in range(4) if index != trade.consensus().own_index} - {trade.consensus().primary}
        text = await browser.until("document.querySelector('.quorum.stuck .sentence')?.textContent")
        assert "2 of 4 members reachable from Acme GmbH, 3 are needed" in text
        assert "No new blocks" in await browser.until("document.querySelector('#status a').textContent")
        await browser.size(1280, scheme="dark")
        await browser.picture("network-stalled-dark")
        trade.cut = set()
        await browser.until("!!document.querySelector('.quorum.fine')")
        height = trade.height
        await trade.grow()
        await browser.until(f"document.querySelector('.tiles dd').textContent.trim() === '{height + 1}'")
        assert browser.complaints == []
    finally:
        await runner.cleanup()


async def test_u51_home_shows_a_new_item_without_a_reload(trade: Any, browser: Browser) -> None:
    runner, address = await opened(trade, browser)
    try:
        await browser.go(f"{address}/")
        before = await browser.js("document.querySelectorAll('.task').length")
        await browser.js("window.stays = true")
        invoice = trade.issue(1, 0, 4_200)
        await trade.grow()
        await browser.until(f"!!document.querySelector('a[href=\"/invoices/{invoice}\"]')")
        assert await browser.js("document.querySelectorAll('.task').length") == before + 1
        assert await browser.js("window.stays") is True
    finally:
        await runner.cleanup()


async def test_filters_change_the_list_in_place_and_the_address(trade: Any, browser: Browser) -> None:
    runner, _ = await opened(trade, browser)
    try:
        await browser.js("window.stays = true")
        rows = await browser.js("document.querySelectorAll('#results tbody tr').length")
        await browser.js(
            "let s = document.querySelector('select[name=side]'); s.value = 'bought'; s.dispatchEvent(new Event('change', {bubbles: true}))"
        )
        await browser.until(f"document.querySelectorAll('#results tbody tr').length < {rows}")
        assert "side=bought" in await browser.js("location.search")
        assert await browser.js("window.stays") is True, "no page load"
        assert browser.complaints == []
    finally:
        await runner.cleanup()


@pytest.mark.control("T38")
async def test_t38_no_hostile_text_ever_runs(make_world: Any, browser: Browser) -> None:
    bad = "\"><img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)>'`{{7*7}}"
    world = make_world(names=(f"A {bad}", f"B {bad}", f"C {bad}", f"D {bad}"))
    invoice = world.issue(0, 1, 1_000)
    world.accept(1, invoice)
    runner, address = await opened(world, browser)
    try:
        for path in ("/", "/invoices", f"/invoices/{invoice}", "/network", "/blocks/1", f"/companies/{world.companies[1]}",
                     "/search?q=%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"):  # fmt: skip
            await browser.go(address + path)
            await asyncio.sleep(0.1)
            assert await browser.js("window.alerts") == [], path
            assert await browser.js("document.querySelectorAll('main img, main script, main svg').length") == 0
        await world.grow()
        await browser.go(f"{address}/network")
        world.cut = {world.consensus().primary}
        await browser.until("document.querySelector('#status a').textContent.includes('One more failure')")
        assert await browser.js("window.alerts") == [], "the live parts too"
    finally:
        await runner.cleanup()


async def test_s46_leaving_ends_the_session(trade: Any, browser: Browser) -> None:
    runner, address = await opened(trade, browser)
    try:
        await browser.js("document.querySelector('form[action=\"/logout\"] button').click()")
        await browser.until("location.pathname === '/login'")
        await browser.go(f"{address}/invoices")
        assert await browser.js("location.pathname") == "/login"
    finally:
        await runner.cleanup()
