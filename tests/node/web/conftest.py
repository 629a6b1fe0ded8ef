"""Fixtures of the page tests: the world of the API tests, its whole application, and a signed-in browser."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from node.api.settings import ApiSettings
from node.web.serve import build_all


def _world_module() -> Any:
    name = "hansa_test_world"
    if name not in sys.modules:
        place = Path(__file__).parent.parent / "api" / "world.py"
        spec = importlib.util.spec_from_file_location(name, place)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def make_world() -> Callable[..., Any]:
    return _world_module().World  # type: ignore[no-any-return]


class Trade:
    """Ids of what `trade` did."""

    accepted = paid = disputed = waiting = payment = refused = credited = ""


@pytest.fixture
def trade(make_world: Callable[..., Any]) -> Any:
    """Acme's node with some of everything; the world carries the ids as `world.trade`."""
    return fill(make_world())


def fill(world: Any) -> Any:
    found = Trade()
    found.accepted = world.issue(0, 1, 1_190_000, due="2026-04-01")
    world.accept(1, found.accepted)
    found.payment = world.pay(1, 0, found.accepted, 500_000)
    found.disputed = world.issue(0, 2, 745_050, issued="2026-01-20", due="2026-02-20")
    world.accept(2, found.disputed)
    world.done([(2, "approver")], "invoices", "dispute", found.disputed, ["EUR", 45_050], "QUA")
    found.waiting = world.issue(2, 0, 315_000, due="2026-03-02")
    world.issue(0, 1, 123_456, currency="CNY", due="2026-05-01")
    world.issue(1, 2, 5_000)
    world.done(
        [(0, "risk"), (0, "approver")], "credit_risk", "set_limit", world.companies[1], ["EUR", 5_000_000], "2026-12-31"
    )
    world.act([(0, "preparer"), (0, "approver")], "acceptance", "accept", found.waiting)
    found.refused = world.blocks[-1].transactions[0].tx_id.hex()
    world.make_block()
    world.trade = found
    return world


Client = TestClient[Any, Any]


@pytest.fixture
async def visit() -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Open a browser on a world's pages; signed in as a role unless role is empty."""
    open_clients: list[Client] = []

    async def opened(world: Any, role: str = "preparer", **settings: Any) -> Client:
        jar = aiohttp.CookieJar(unsafe=True)
        client: Client = TestClient(TestServer(build_all(world, ApiSettings(**settings))), cookie_jar=jar)
        await client.start_server()
        open_clients.append(client)
        if role:
            answer = await submit(client, "/login", {"token": world.token(role, scopes=["read", "submit"])})
            assert answer.status == 303, await answer.text()
        return client

    yield opened
    for client in open_clients:
        await client.close()


def origin(client: Client) -> str:
    return f"http://{client.host}:{client.port}"


async def submit(client: Client, path: str, fields: dict[str, str], **headers: str) -> aiohttp.ClientResponse:
    """Send a form as a page of this node would."""
    return await client.post(path, data=fields, headers={"Origin": origin(client), **headers}, allow_redirects=False)


def csrf_of(html: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', html)
    assert found is not None
    return found.group(1)


@pytest.fixture
def post() -> Callable[..., Awaitable[aiohttp.ClientResponse]]:
    return submit


@pytest.fixture
def csrf() -> Callable[[str], str]:
    return csrf_of
