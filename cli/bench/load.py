"""Load: signed `invoices.issue` calls, made beforehand, sent in batches through the public API (performance E42).

Every company issues invoices to the others; each call is signed by one of its makers and by its checker. What a
company signs goes to its own node. Signing costs nothing while measured, sending is paid by this process, whose CPU
time is taken off the cores.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Final

import aiohttp
import msgspec

from cli.bench.network import CHECKER, MAKER, Network
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.local import LocalNode
from cli.wallet import Wallet
from ledger.codec import encode
from ledger.crypto.ed25519 import SigningKey
from ledger.transaction import TX_VERSION, Envelope, SignerRef, TxBody, body_digest, transaction_id

CONTRACT: Final = "invoices"
METHOD: Final = "issue"
SIGNATURES: Final = 2
BATCH: Final = 256
"""Envelopes in a request, the most that the API takes (E31)."""
VALID_BLOCKS: Final = 8_000
"""Heights a call stays valid; below the network's own limit of 10,000."""
CONNECTIONS: Final = 200
"""Connections to one node; it takes at most 256 from one address. What is due meanwhile waits, and the wait counts."""
WAIT_S: Final = 20
"""Seconds a node may hold one question for a transaction."""
BUSY_S: Final = 60
"""Seconds for which a node may answer that it is busy (503); offered more than it carries, it does, and recovers."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One request body, the id of its last call, and how many calls it holds."""

    body: bytes
    last_id: str
    calls: int


class Company:
    """Signs the calls of one company, its makers in turn, each with its own run of nonces (LR3)."""

    def __init__(self, network: Network, place: int) -> None:
        self.node: LocalNode = network.nodes[place]
        self._chain_id = network.chain_id
        self._buyers = [node.plan.company_id for node in network.nodes if node is not self.node]
        self._gas_limit = network.interface.actions[METHOD].worst_gas
        wallet = Wallet(self.node.home)
        self._makers: list[tuple[str, SigningKey]] = []
        for person in wallet.people:
            if person.label.startswith(MAKER):
                self._makers.append((person.user_id, wallet.key(person)))
        checker = wallet.named(CHECKER)
        self._checker = (checker.user_id, wallet.key(checker))
        self._count = 0
        self._sent = 0
        today = datetime.now(UTC).date()
        self._issued, self._due = today.isoformat(), (today + timedelta(days=60)).isoformat()
        self.envelope_bytes = 0

    @property
    def keys(self) -> int:
        """Keys that sign for this company."""
        return len(self._makers) + 1

    def rewind(self) -> None:
        """Forget what was signed and not sent: a gap in the nonces would hold up what follows it (LR3)."""
        self._count = self._sent

    def took(self, batch: Batch) -> None:
        """Note that `batch`, the oldest that was signed and not sent, is sent now."""
        self._sent += batch.calls

    def batch(self, calls: int, valid_until: int) -> Batch:
        """Return a request with the next `calls` calls."""
        envelopes: list[bytes] = []
        digest = b""
        for _ in range(calls):
            envelope, digest = self._sign(valid_until)
            envelopes.append(envelope)
        self.envelope_bytes = len(envelopes[-1])
        return Batch(encode(envelopes), digest.hex(), calls)

    def _sign(self, valid_until: int) -> tuple[bytes, bytes]:
        number = self._count
        self._count += 1
        maker, maker_key = self._makers[number % len(self._makers)]
        checker, checker_key = self._checker
        company = self.node.plan.company_id
        net = 100_00 + number % 9_000_00
        tax = net * 13 // 100
        document = sha256(f"{company} invoice {number}".encode()).hexdigest()
        args = (
            self._buyers[number % len(self._buyers)],
            sha256(f"number {number}".encode()).hexdigest(),
            "380",
            ["CNY", net],
            ["CNY", tax],
            ["CNY", net + tax],
            self._issued,
            self._due,
            document,
        )
        body = encode(
            TxBody(
                version=TX_VERSION,
                signers=(SignerRef(maker, "maker", company), SignerRef(checker, "checker", company)),
                nonce=number // len(self._makers) + 1,
                valid_until_height=valid_until,
                contract=CONTRACT,
                method=METHOD,
                args=args,
                gas_limit=self._gas_limit,
            )
        )
        digest = body_digest(body, self._chain_id)
        pairs = tuple((key.public_key, key.sign(digest)) for key in (maker_key, checker_key))
        return encode(Envelope(body, pairs)), transaction_id(digest, (key for key, _ in pairs))


class _BatchAnswer(msgspec.Struct):
    """The part of the node's answer that the load looks at."""

    accepted: int
    rejected: int


class _Refused(msgspec.Struct):
    items: list[dict[str, str | None]]


class _TxAnswer(msgspec.Struct):
    state: str
    outcome: str | None = None


_batch_decoder: Final = msgspec.json.Decoder(_BatchAnswer)
_refused_decoder: Final = msgspec.json.Decoder(_Refused)
_tx_decoder: Final = msgspec.json.Decoder(_TxAnswer)


@dataclass(slots=True)
class Sent:
    """What the load saw."""

    calls: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    late_s: float = 0.0
    """How long after the last batch was due the last one was done."""


@asynccontextmanager
async def _together() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group whose first failure is raised as it is, if all of them say what happened."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:  # not `except*`: that wraps what is raised inside it in a group again
        told, others = failures.split((CommandFailed, aiohttp.ClientError, TimeoutError))
        if told is None or others is not None:
            raise
        first: BaseException = told
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


class Sender:
    """Sends to all nodes from this one process; an asynchronous context."""

    def __init__(self, companies: Sequence[Company]) -> None:
        self._companies = companies
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Sender:
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=WAIT_S, sock_read=3 * WAIT_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def keep_busy(self, supplies: Sequence[Iterator[Batch]], in_flight: int, stop: asyncio.Event) -> Sent:
        """Keep `in_flight` batches at each node under way until `stop`, or until nothing is left to send."""
        sent = Sent()

        async def worker(company: Company, supply: Iterator[Batch]) -> None:
            for batch in supply:
                started = time.monotonic()
                await self._send(company, batch)
                sent.calls += batch.calls
                await self._committed(company, batch)
                sent.latencies_ms.append((time.monotonic() - started) * 1000)
                if stop.is_set():
                    return

        async with _together() as group:
            for company, supply in zip(self._companies, supplies, strict=True):
                for _ in range(in_flight):
                    group.create_task(worker(company, supply))
        return sent

    async def keep_pace(self, supplies: Sequence[Sequence[Batch]], batches_per_s: float, seed: int) -> Sent:
        """Send at a rate, whatever the network does: each node gets its supply at random moments (Poisson).

        A latency runs from the moment at which the batch was due until its own node has executed its last call, so
        waiting in front of a busy node is part of it.
        """
        sent = Sent()
        start = time.monotonic() + 0.05
        last_due = start

        async def one(company: Company, batch: Batch, due: float) -> None:
            await self._send(company, batch)
            await self._committed(company, batch)
            sent.calls += batch.calls
            sent.latencies_ms.append((time.monotonic() - due) * 1000)

        async def stream(company: Company, supply: Sequence[Batch], random: Random) -> None:
            nonlocal last_due
            due = start
            async with _together() as group:
                for batch in supply:
                    due += random.expovariate(batches_per_s)
                    last_due = max(last_due, due)
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    group.create_task(one(company, batch, due))

        async with _together() as group:
            for place, (company, supply) in enumerate(zip(self._companies, supplies, strict=True)):
                group.create_task(stream(company, supply, Random(seed + place)))  # noqa: S311  # arrival times
        sent.late_s = max(0.0, time.monotonic() - last_due)
        return sent

    async def _send(self, company: Company, batch: Batch) -> None:
        company.took(batch)
        node = company.node
        headers = {"Authorization": f"Bearer {node.token}", "Content-Type": "application/msgpack"}
        url = f"{node.api}/v1/transactions/batch"
        status, body = await self._ask("POST", url, headers, batch.body)
        if status != 202:
            raise CommandFailed(Exit.FAILED, f"{node.plan.name} refused a batch: {body[:300]!r}", "see its log")
        if _batch_decoder.decode(body).rejected:
            first = next(item for item in _refused_decoder.decode(body).items if item["state"] == "rejected")
            text = f"{node.plan.name} refused calls of the load: {first.get('code')}: {first.get('detail')}"
            raise CommandFailed(Exit.FAILED, text, "this is a bug of hansa bench or of the node: see its log")

    async def _committed(self, company: Company, batch: Batch) -> None:
        node = company.node
        headers = {"Authorization": f"Bearer {node.token}"}
        url = f"{node.api}/v1/transactions/{batch.last_id}?wait={WAIT_S}&until=committed"
        for _ in range(3):
            status, body = await self._ask("GET", url, headers)
            found = _tx_decoder.decode(body) if status in (200, 202) else None
            if found is None:
                raise CommandFailed(Exit.FAILED, f"{node.plan.name} lost transaction {batch.last_id}", "see its log")
            if found.state in ("committed", "final"):
                if found.outcome != "ok":
                    text = f"the call {batch.last_id} failed on the ledger"
                    raise CommandFailed(Exit.FAILED, text, f"ask its node: hansa tx show {batch.last_id}")
                return
        raise CommandFailed(Exit.FAILED, f"{batch.last_id} was not committed in {3 * WAIT_S} s", "see the nodes' logs")

    async def _ask(
        self, method: str, url: str, headers: dict[str, str], data: bytes | None = None
    ) -> tuple[int, bytes]:
        """Return status and body. A node that says it is busy is asked again when it says so, for `BUSY_S` at most."""
        deadline = time.monotonic() + BUSY_S
        while True:
            async with self._open.request(method, url, data=data, headers=headers) as answer:
                body = await answer.read()
            pause_s = answer.headers.get("Retry-After", "")
            if answer.status != 503 or not pause_s.isdecimal() or time.monotonic() > deadline:
                return answer.status, body
            await asyncio.sleep(int(pause_s))

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the sender is used outside its context")
        return self._session
