"""The client of a node's public API: what the command line uses, and nothing else (U3, U47, U48).

Problem objects become `CommandFailed` with the exit code of their row. Only what the code table calls retryable is
tried again, with the same bytes.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final

import aiohttp
from yarl import URL

from cli.exit_codes import Exit
from cli.failure import CommandFailed

TIMEOUT_S: Final = 30.0
RETRIES: Final = 4
"""Attempts after a retryable answer; with doubling pauses they last about four seconds."""

_EXIT_BY_STATUS: Final = {
    400: Exit.REJECTED, 401: Exit.NOT_ALLOWED, 403: Exit.NOT_ALLOWED, 404: Exit.NOT_FOUND, 409: Exit.CONFLICT,
    410: Exit.CONFLICT, 412: Exit.CONFLICT, 413: Exit.REJECTED, 421: Exit.NOT_ALLOWED, 422: Exit.REJECTED,
    429: Exit.UNAVAILABLE, 503: Exit.UNAVAILABLE,
}  # fmt: skip


class Client:
    """One node's API. Use as an asynchronous context."""

    def __init__(self, url: str, token: str, *, ca_file: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._base = URL(url.rstrip("/") + "/")
        self._token = token
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._ssl: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        self._session = aiohttp.ClientSession(headers=headers, timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, retry: bool = True) -> dict[str, Any]:
        """Return the JSON answer of a read; with `retry` a node that is just starting is waited for."""
        return await self._call("GET", path, params=params, retry=retry)

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a JSON body."""
        return await self._call("POST", path, data=json.dumps(body).encode(), kind="application/json")

    async def delete(self, path: str) -> dict[str, Any]:
        """Remove a resource."""
        return await self._call("DELETE", path)

    async def upload(self, path: str, data: bytes, params: Mapping[str, str]) -> dict[str, Any]:
        """Hand in a foreign document as it is."""
        return await self._call("POST", path, params=params, data=data, kind="application/octet-stream")

    async def submit(self, envelope: bytes) -> dict[str, Any]:
        """Hand in one signed transaction; repeats are harmless because the id is its content (U26)."""
        return await self._call("POST", "v1/transactions", data=envelope, kind="application/msgpack")

    async def submit_batch(self, body: bytes) -> dict[str, Any]:
        """Hand in up to 256 envelopes as one canonical MessagePack array."""
        return await self._call("POST", "v1/transactions/batch", data=body, kind="application/msgpack")

    async def wait(self, tx_id: str, until: str = "committed", seconds: int = 20) -> dict[str, Any]:
        """Return the transaction once it is committed (or final), or as it stands when the time is over."""
        return await self.get(f"v1/transactions/{tx_id}", {"wait": str(seconds), "until": until})

    async def wait_all(self, tx_ids: Sequence[str], seconds: int = 20) -> list[dict[str, Any]]:
        """Wait for several transactions."""
        return list(await asyncio.gather(*(self.wait(tx_id, seconds=seconds) for tx_id in tx_ids)))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        kind: str = "",
        retry: bool = True,
    ) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("the client is used outside its context")
        headers = {"Content-Type": kind} if kind else {}
        pause_s = 0.25
        for attempt in range(RETRIES + 1):
            try:
                async with self._session.request(
                    method, self._base.join(URL(path)), params=params, data=data, headers=headers, ssl=self._ssl
                ) as answer:
                    body = await answer.read()
                    status = answer.status
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                if retry and method == "GET" and attempt < RETRIES and not isinstance(error, TimeoutError):
                    await asyncio.sleep(pause_s)
                    pause_s *= 2
                    continue
                raise CommandFailed(
                    Exit.UNAVAILABLE,
                    f"no answer from the node at {self._base}: {error or 'timed out'}",
                    "start it (hansa node run, hansa cluster up), or name another one with --api",
                ) from None
            problem = _decode(body)
            if status < 400:
                return problem
            if problem.get("retryable") and attempt < RETRIES:
                await asyncio.sleep(pause_s)
                pause_s *= 2
                continue
            raise _failure(status, problem)
        raise CommandFailed(Exit.UNAVAILABLE, f"the node at {self._base} stayed busy", "try again in a moment")


def _decode(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _failure(status: int, problem: dict[str, Any]) -> CommandFailed:
    code = _EXIT_BY_STATUS.get(status, Exit.FAILED)
    text = problem.get("detail") or problem.get("title") or f"the node answered with status {status}"
    for error in problem.get("errors", ()):
        text += f"\n  {error.get('pointer', '')}: {error.get('msg', '')}"
    return CommandFailed(code, text, problem.get("next", ""), problem)
