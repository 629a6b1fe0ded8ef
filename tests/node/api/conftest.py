"""Fixtures: a world with some business in it, and a client of its real application."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from node.api.server import build
from node.api.settings import ApiSettings


def _world_module() -> Any:
    name = "hansa_test_world"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "world.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def make_world() -> Callable[..., Any]:
    """The class `World` of world.py."""
    return _world_module().World  # type: ignore[no-any-return]


@pytest.fixture
def world(make_world: Callable[..., Any]) -> Any:
    """Acme's node, without business yet."""
    return make_world()


Client = TestClient[Any, Any]


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Open clients of worlds; each is closed at the end of the test."""
    open_clients: list[Client] = []

    async def opened(world: Any, **settings: Any) -> Client:
        server = TestServer(build(world, ApiSettings(**settings)))
        client: Client = TestClient(server)
        await client.start_server()
        open_clients.append(client)
        return client

    yield opened
    for client in open_clients:
        await client.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def client(world: Any, connect: Callable[..., Awaitable[Client]]) -> Client:
    return await connect(world)
