"""The pages in a real browser: sign in, live updates, filters without a reload, no policy violation, 360 px (U51-U54).

Left out where no Chromium is installed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from node.api.settings import ApiSettings
from node.web.serve import serve_api
from tests.browser import BROWSER, Browser, open_browser

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

PAGES = ("/", "/invoices", "/invoices/{accepted}", "/payments", "/payments/{payment}", "/books", "/books/journal",
         "/books/ageing", "/network", "/blocks", "/blocks/1", "/transactions/{refused}", "/search?q=corex",
         "/docs/problems")  # fmt: skip


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as tab:
        yield tab


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


async def test_long_and_foreign_names_break_and_widen_no_page(make_world: Any, browser: Browser) -> None:
    names = (
        "Internationale Beschaffungs- und Vertriebsgesellschaft mbH & Co. Kommanditgesellschaft auf Aktien",
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
        "شركة الاختبار للتجارة الدولية المحدودة",
        "中国某某国际贸易（集团）有限责任公司上海浦东新区自由贸易试验区分公司",
    )
    world = make_world(names=names)
    invoice = world.issue(0, 1, 1_000)
    world.accept(1, invoice)
    runner, address = await opened(world, browser)
    try:
        for path in ("/", "/invoices", f"/invoices/{invoice}", "/books/ageing", "/network", "/blocks/1"):
            for size in (1280, 360):
                await browser.size(size)
                await browser.go(address + path)
                width = await browser.js("document.documentElement.scrollWidth")
                assert width <= size, f"{path} is {width} pixels wide"
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
        assert "side=bought" in await browser.js("document.querySelector('#results a[download]').href"), "S59"
        await browser.js("document.querySelector('input[name=due_from]').type = 'text'")
        await browser.js(
            "let d = document.querySelector('input[name=due_from]'); d.value = 'soon'; d.dispatchEvent(new Event('change', {bubbles: true}))"
        )
        refusal = await browser.until("document.querySelector('main .narrow h1')?.textContent")
        assert refusal == "A value is not accepted"
        browser.complaints[:] = [text for text in browser.complaints if "422" not in text]
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


async def test_u51_an_ended_session_says_so_and_asks_no_more(trade: Any, browser: Browser) -> None:
    runner, _ = await opened(trade, browser)
    try:
        await browser.until("!!document.querySelector('#live')?._htmx?.sse")
        trade.now_ms += 8 * 3_600_000
        notice = await browser.until("document.querySelector('#notice .notice')?.textContent", seconds=15)
        assert "Your session has ended" in notice
        await browser.until("!document.querySelector('#live')._htmx?.sse")
        asked = "performance.getEntriesByType('resource').filter(one => one.name.includes('/live/')).length"
        before = await browser.js(asked)
        await asyncio.sleep(2.0)
        assert await browser.js(asked) == before, "no loop of requests"
        await browser.js(
            "let s = document.querySelector('select[name=side]'); s.value = 'bought'; s.dispatchEvent(new Event('change', {bubbles: true}))"
        )
        await browser.until("location.pathname === '/login'")
        assert "side%3Dbought" in await browser.js("location.search"), "and back to what was asked"
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
