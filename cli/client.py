"""The client of a node's public API: what the command line uses, and nothing else (U3, U47, U48).

Problem objects become `CommandFailed` with the exit code of their row. Only what the code table calls retryable is
tried again, with the same bytes.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from math import ceil
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.language import chosen

if TYPE_CHECKING:
    import aiohttp

TIMEOUT_S: Final = 30.0
WAIT_PART_S: Final = 25
"""Seconds of one waiting request; a node holds no longer than 30 (U26), so a longer wait is several of them."""
RETRIES: Final = 4
"""Attempts after a retryable answer; they last about four seconds, longer if the node says so."""
TOLD_MAX_S: Final = 5
"""Longest pause that a node may ask for between two attempts: a person waits in front of the command."""
SILENCE_S: Final = 40
"""Seconds without a byte after which a stream counts as broken: more than two of the node's heartbeats (U38)."""
RESUME_S: Final = 2
"""Seconds before a broken stream is asked for again; the node says the same in `retry`."""

_PARAMETER: Final = re.compile(r"(?<![^\s(])\?([a-z][a-z_]*)\b")
_NEXT: Final = {
    "unauthenticated": "name a token of this node: hansa login, --profile or HANSA_TOKEN; "
    "hansa token create makes one beside the node",
    "not_found": "check the spelling and whose node was asked: hansa whoami",
    "forbidden": "hansa whoami shows your roles; ask the administrator of your company for one that may do this",
    "invalid": "correct the value; --help shows what the command takes",
    "malformed": "make the file again; hansa tx decode FILE shows what is in it",
    "bad_signature": "sign it again: hansa tx sign FILE --as PERSON",
    "bad_signer": "hansa whoami shows who you are; a suspended person cannot sign",
    "bad_nonce": "compose it again: this number is used already, by this or another transaction",
    "expired": "compose it again: hansa tx call",
    "duplicate": "it is in the ledger already: hansa tx show ID",
    "height_pruned": "ask for a height that is held, or another node; the books take any date with --as-of",
    "internal": "look at the log of the node, and report the request id",
}
"""What to do where a problem names no step of its own: code -> sentence for somebody at a terminal (U16)."""
_OWN_WORDS: Final = ("unauthenticated", "height_pruned")
"""Codes whose step the node tells to programs: it speaks of headers and parameters. Not if the company itself is shut
out."""


class Client:
    """One node's API. Use as an asynchronous context. `told` hears of every request and how it ended."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        ca_file: str = "",
        timeout_s: float = TIMEOUT_S,
        told: Callable[[str], None] | None = None,
    ) -> None:
        from yarl import URL

        try:
            self._base = URL(url.strip().rstrip("/") + "/")
            good = self._base.scheme in ("http", "https") and bool(self._base.host)
        except ValueError:
            good = False
        if not good:
            raise CommandFailed(
                Exit.USAGE, f"{url!r} is no address of a node", "write it like https://127.0.0.1:7400"
            ) from None
        self._token = token
        self._timeout_s = timeout_s
        self._told = told
        self._ssl = _trusting(ca_file) if ca_file else True
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        import aiohttp

        headers = {"Accept-Language": chosen()}  # for sentences only: codes and names in JSON are in no language
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, retry: bool = True) -> dict[str, Any]:
        """Return the JSON answer of a read; with `retry` a node that is just starting is waited for."""
        return await self._call("GET", path, params=params, retry=retry)

    async def lines(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the JSON lines of a read as the items of one document."""
        text = await self._call("GET", path, params=params, text=True)
        return {"schema": "hansa.events/1", "items": [json.loads(line) for line in text["text"].splitlines() if line]}

    async def follow(self, path: str, params: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """Yield server-sent events as they come (U36, U37). A stream that breaks off is resumed after the last event;
        it ends when the right to read does."""
        import aiohttp
        from yarl import URL

        if self._session is None:
            raise RuntimeError("the client is used outside its context")
        headers = {"Accept": "text/event-stream"}
        refused = 0
        while True:
            patience = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE_S)
            try:
                async with self._session.get(
                    self._base.join(URL(path)), params=params, headers=headers, ssl=self._ssl, timeout=patience
                ) as answer:
                    if answer.status >= 400:
                        problem, refused = _decode(await answer.read()), refused + 1
                        if refused > RETRIES or not problem.get("retryable"):
                            raise _failure(answer.status, problem)
                        raise aiohttp.ClientError(str(problem.get("code")))
                    kind, refused = "", 0
                    async for line in answer.content:
                        name, _, value = line.decode("utf-8", "replace").rstrip("\n").partition(": ")
                        if name == "id":
                            headers["Last-Event-ID"] = value
                        elif name == "event":
                            kind = value
                        elif name == "data" and kind == "closed":
                            raise CommandFailed(Exit.NOT_ALLOWED, f"the node ended the stream: {value}", "hansa whoami")
                        elif name == "data":
                            yield _decode(value.encode())
            except (aiohttp.ClientError, TimeoutError) as error:
                if self._told is not None:
                    self._told(f"{path}: {_reason(error)}; asking again")
            await asyncio.sleep(RESUME_S)

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

    async def wait(self, tx_id: str, until: str = "committed", seconds: float = 20) -> dict[str, Any]:
        """Return the transaction once it is committed (or final), or as it stands when the time is over."""
        ends = time.monotonic() + seconds
        while True:
            left = max(0, min(WAIT_PART_S, ceil(ends - time.monotonic())))
            found = await self.get(f"v1/transactions/{tx_id}", {"wait": str(left), "until": until})
            if _settled(found, until) or time.monotonic() >= ends:
                return found

    async def wait_all(self, tx_ids: Sequence[str], seconds: float = 20) -> list[dict[str, Any]]:
        """Wait for several transactions."""
        return list(await asyncio.gather(*(self.wait(tx_id, seconds=seconds) for tx_id in tx_ids)))

    def _tell(self, asked: str, began: float, ended: str) -> None:
        """Tell one attempt. Neither token nor body is in it: terminals are copied into tickets (U7)."""
        if self._told is not None:
            self._told(f"{asked}: {ended}, {(time.monotonic() - began) * 1000:.0f} ms")

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        kind: str = "",
        retry: bool = True,
        text: bool = False,
    ) -> dict[str, Any]:
        import aiohttp
        from yarl import URL

        if self._session is None:
            raise RuntimeError("the client is used outside its context")
        headers = {"Content-Type": kind} if kind else {}
        pause_s = 0.25
        asked = f"{method} /{path}" + (f"?{urlencode(params)}" if params else "")
        for attempt in range(RETRIES + 1):
            began = time.monotonic()
            try:
                async with self._session.request(
                    method, self._base.join(URL(path)), params=params, data=data, headers=headers, ssl=self._ssl
                ) as answer:
                    body = await answer.read()
                    status = answer.status
                    height, told_s = answer.headers.get("X-Ledger-Height"), answer.headers.get("Retry-After", "")
                self._tell(asked, began, f"{status}, {len(body)} bytes" + (f", height {height}" if height else ""))
            except (aiohttp.ClientError, TimeoutError) as error:
                self._tell(asked, began, _reason(error))
                again = isinstance(error, aiohttp.ClientConnectionError) and not isinstance(error, TimeoutError)
                if retry and method == "GET" and attempt < RETRIES and again:
                    await asyncio.sleep(pause_s)
                    pause_s *= 2
                    continue
                raise CommandFailed(
                    Exit.UNAVAILABLE,
                    f"no answer from the node at {self._base}: {_reason(error)}",
                    "start it (hansa node run, hansa cluster up), or name another one with --api or --profile",
                ) from None
            if text and status < 400:
                return {"text": body.decode("utf-8", "replace")}
            problem = _decode(body)
            if status < 400:
                return problem
            if problem.get("retryable") and attempt < RETRIES:
                await asyncio.sleep(max(pause_s, min(int(told_s), TOLD_MAX_S) if told_s.isdecimal() else 0))
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
    """Return the refusal of a problem object; the exit code stands in the node's one table (U2, U18)."""
    from node.api.problems import PROBLEMS

    name = str(problem.get("code", ""))
    row = PROBLEMS.get(name) or next((row for row in PROBLEMS.values() if row.status == status), None)
    code = Exit(int(row.exit)) if row is not None else Exit.FAILED
    text = str(problem.get("detail") or problem.get("title") or f"the node answered with status {status}")
    errors = problem.get("errors")
    for error in errors if isinstance(errors, list) else ():
        line = f"{error.get('pointer', '')}: {error.get('msg', '')}" if isinstance(error, dict) else str(error)
        if line != text:
            text += f"\n  {line}"
    told = "" if name in _OWN_WORDS and "company_status" not in problem else problem.get("next")
    return CommandFailed(code, _as_options(text), str(told or _NEXT.get(name, "")), problem or None)


def _as_options(text: str) -> str:
    """Name query parameters as the command line does: `?as_of` is `--as-of` there."""
    return _PARAMETER.sub(lambda found: "--" + found.group(1).replace("_", "-"), text)


def _settled(found: Mapping[str, Any], until: str) -> bool:
    return found.get("state") in ("final", "expired", "rejected") or (
        until == "committed" and found.get("state") == "committed"
    )


def _reason(error: Exception) -> str:
    """Return why no answer came, without the libraries' inner words."""
    if isinstance(error, TimeoutError):
        return "timed out"
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    if isinstance(inner, ConnectionRefusedError):
        return "connection refused"
    if isinstance(inner, ssl.SSLError):
        return f"its certificate is not trusted here ({getattr(inner, 'verify_message', '') or inner.reason})"
    words = getattr(inner, "strerror", None) or str(inner) or type(error).__name__
    return str(words)


def _trusting(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CommandFailed(
            Exit.USAGE,
            f"the certificate {ca_file} cannot be used: {error.strerror or error}",
            "name the right one: hansa login --ca-file FILE",
        ) from None
