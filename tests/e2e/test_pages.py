"""The pages of real nodes in a real browser: the one-time link, what waits, proof, and live updates (S46, U51).

Left out where no Chromium is installed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.commands.demo import SAMPLES
from cli.story import Story
from tests.browser import BROWSER, open_browser
from tests.e2e.conftest import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")]


async def test_an_accountant_opens_the_pages_of_a_running_network(cluster: Cluster) -> None:
    async with Story(list(cluster.nodes.values()), lambda _: None) as story:
        await story.play(await story.import_samples(Path(SAMPLES)))
    made = cluster.hansa("login", "--web", "--no-browser", "--profile", "demo-lifeng")
    assert made.returncode == 0, made.stderr
    link = made.stdout.strip()
    address = link.partition("/login")[0]
    async with open_browser() as browser:
        await browser.size(1280)
        await browser.go(link)
        await browser.js("document.querySelector('main form button').click()")
        await browser.until("location.pathname === '/' && document.querySelectorAll('.task').length >= 3")
        home = await browser.js("document.querySelector('main').innerText")
        assert "8,825.10 CNY" in home and "523.00 EUR" in home, "what is to pay and to collect"
        await browser.go(link)
        assert "Falkenberg" not in await browser.js("document.body.innerText"), "a link opens the pages once"

        await browser.go(f"{address}/invoices?side=bought&status=disputed")
        await browser.js("document.querySelector('#results tbody a').click()")
        await browser.until("location.pathname.startsWith('/invoices/inv-')")
        text = await browser.js("document.querySelector('main').textContent")
        for words in (
            "1,447.71",
            "issued the invoice",
            "accepted the invoice over 3,245.21",
            "disputed 120.00",
            "set off",
        ):
            assert words in text, words
        await browser.js("document.querySelector('main details summary').click()")
        proof = await browser.js("document.querySelector('main details').innerText")
        assert "signed by a quorum" in proof and "hansa state get invoices.Invoice/inv-" in proof

        await browser.go(f"{address}/network")
        await browser.js("window.stays = true")
        assert "4 of 4 members" in await browser.js("document.querySelector('.sentence').textContent")
        cluster.act("kill", "chenghu")
        await browser.until("document.querySelector('.sentence').textContent.includes('3 of 4 members')")
        cluster.act("kill", "qiming")
        await browser.until("!!document.querySelector('.quorum.stuck')")
        assert "2 of 4" in await browser.js("document.querySelector('.quorum.stuck .sentence').textContent")
        cluster.act("start", "qiming")
        cluster.act("start", "chenghu")
        await browser.until("document.querySelector('.sentence').textContent.includes('4 of 4 members')", seconds=30)
        assert await browser.js("window.stays") is True, "the page updates by itself"
        assert browser.complaints == []
