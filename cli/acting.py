"""From a business act to a committed ledger entry: compose, sign, submit, wait (U13, U14, U26).

Writes are printed before they leave; a refusal by the ledger ends the command with the rule, the text and the line of
the contract that refused. Outcome unknown is an exit code of its own, with the transaction id to ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cli import txfile
from cli.calls import Act
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.refusals import refused
from cli.wallet import Signing, Wallet
from ledger.transaction import TX_VERSION, SignerRef, TxBody

VALID_BLOCKS: Final = 600
"""Heights a transaction stays valid after it is made; enough for a network that stands still for a while."""


class Actor:
    """Acts for one company through its node. Nonces are counted here, so several acts may be under way at once."""

    def __init__(self, client: Client, wallet: Wallet) -> None:
        self.client = client
        self.wallet = wallet
        self._chain_id = b""
        self._nonces: dict[str, int] = {}
        self.currencies: dict[str, int] = {}
        self._gas: dict[str, dict[str, int]] = {}

    async def open(self) -> None:
        """Ask the node for chain id, nonces and currencies."""
        status = await self.client.get("v1/status")
        self._chain_id = bytes.fromhex(status["chain_id"])
        mine = status["company"]["id"]
        if mine != self.wallet.company_id:
            raise CommandFailed(
                Exit.USAGE,
                f"the node belongs to {status['company']['name']}, the people here to {self.wallet.company_id}",
                "name the right --home or --api",
            )
        users = await self.client.get("v1/users")
        self._nonces = {user["user"]: int(user["next_nonce"]) for user in users["items"]}
        network = await self.client.get("v1/network")
        self.currencies = {item["code"]: int(item["decimals"]) for item in network["currencies"]}

    @property
    def chain_id(self) -> bytes:
        """The chain this actor signs for."""
        return self._chain_id

    async def compose(
        self,
        act: Act,
        args: Sequence[Any],
        *,
        prefer: Sequence[str] = (),
        others: Sequence[Wallet] = (),
        elsewhere: Sequence[SignerRef] = (),
    ) -> tuple[txfile.TxFile, list[tuple[Wallet, Signing]]]:
        """Return the unsigned transaction and who signs it here.

        `others` are companies whose people sign here too, in `act.other_roles` or, without any, in the same roles;
        `elsewhere` are signers whose keys lie on another machine.
        """
        if not self._chain_id:
            await self.open()
        signings: list[tuple[Wallet, Signing]] = []
        for wallet in (self.wallet, *others):
            own = wallet is self.wallet
            roles = act.roles if own else act.other_roles or act.roles
            people = wallet.choose([role for role, _ in roles], prefer if own else ())
            for person, (_, capacity) in zip(people, roles, strict=True):
                signings.append((wallet, Signing(person, capacity, wallet.company_id)))
        first = signings[0][1].person.user_id
        nonce = self._nonces.get(first, 1)
        self._nonces[first] = nonce + 1
        status = await self.client.get("v1/status")
        body = TxBody(
            version=TX_VERSION,
            signers=(
                *(SignerRef(signing.person.user_id, signing.capacity, signing.company_id) for _, signing in signings),
                *elsewhere,
            ),
            nonce=nonce,
            valid_until_height=int(status["height_committed"]) + VALID_BLOCKS,
            contract=act.contract,
            method=act.method,
            args=tuple(args),
            gas_limit=await self._worst_gas(act),
        )
        return txfile.new(body, self._chain_id), signings

    async def _worst_gas(self, act: Act) -> int:
        """Return what the call can cost at most; a higher limit would only take room in the block."""
        if act.gas:
            return act.gas
        if act.contract not in self._gas:
            contract = await self.client.get(f"v1/contracts/{act.contract}")
            self._gas[act.contract] = {name: int(method["worst_gas"]) for name, method in contract["actions"].items()}
        try:
            return self._gas[act.contract][act.method]
        except KeyError:
            raise CommandFailed(
                Exit.NOT_FOUND,
                f"contract {act.contract} has no action {act.method}",
                f"hansa contract show {act.contract}",
            ) from None

    async def sign_and_send(self, file: txfile.TxFile, signings: Sequence[tuple[Wallet, Signing]]) -> str:
        """Sign with every person of `signings`, submit, and return the transaction id."""
        sign(file, signings)
        return await self.send(file)

    async def send(self, file: txfile.TxFile) -> str:
        """Submit a signed transaction and return its id."""
        answer = await self.client.submit(txfile.envelope(file))
        return str(answer["id"])

    async def do(
        self,
        act: Act,
        args: Sequence[Any],
        *,
        prefer: Sequence[str] = (),
        others: Sequence[Wallet] = (),
        until: str = "committed",
        seconds: float = 20,
    ) -> dict[str, Any]:
        """Carry out the act and return its transaction once committed; a failed receipt raises `CommandFailed`."""
        file, signings = await self.compose(act, args, prefer=prefer, others=others)
        tx_id = await self.sign_and_send(file, signings)
        return await self.finish(tx_id, until=until, seconds=seconds)

    async def finish(self, tx_id: str, *, until: str = "committed", seconds: float = 20) -> dict[str, Any]:
        """Wait for a transaction and judge its outcome."""
        found = await self.client.wait(tx_id, until=until, seconds=seconds)
        return await judge(self.client, found)


def sign(file: txfile.TxFile, signings: Sequence[tuple[Wallet, Signing]]) -> None:
    """Sign with every person of `signings`."""
    for wallet, signing in signings:
        txfile.sign(file, signing.person.user_id, wallet.key(signing.person))


async def judge(client: Client, found: dict[str, Any]) -> dict[str, Any]:
    """Return a committed transaction; raise with the right exit code for every other end (U18)."""
    state = found.get("state")
    tx_id = found.get("id", "")
    if state in ("committed", "final"):
        if found.get("outcome") == "ok":
            return found
        raise refused((found.get("receipt") or {}).get("abort") or {}, {**found, "code": "failed"})
    if state == "expired":
        raise CommandFailed(Exit.CONFLICT, f"transaction {tx_id} expired and can never commit", "make it again", found)
    status = await client.get("v1/status")
    if int(status["reachable"]) < int(status["quorum"]):
        raise CommandFailed(
            Exit.NO_QUORUM,
            f"transaction {tx_id} is accepted but not committed: {status['sentence']}",
            f"it commits by itself when the network goes on; ask with hansa tx wait {tx_id}",
            found,
        )
    raise CommandFailed(
        Exit.UNKNOWN, f"transaction {tx_id} is not committed yet", f"ask again with hansa tx wait {tx_id}", found
    )
