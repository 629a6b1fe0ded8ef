"""A host made of a dictionary, and the comparison of the two ways to run a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.host import Outcome, Signer
from contracts.runtime import Program
from contracts.testing import party_id, user_id
from tests.language.reference import Reference, Stop

CURRENCIES = {"EUR": 2, "JPY": 0, "KWD": 3, "USD": 2}
ACME, BETA, BANK = (party_id(name) for name in ("acme", "beta", "bank"))
GAS = 200_000


def signer(company: str, role: str) -> Signer:
    """Return the person who holds `role` in `company`."""
    return Signer(user_id(company, role), company)


class DictHost:
    """State in a dictionary; each signer holds the roles given beside it. Counts every call it gets."""

    def __init__(
        self,
        state: dict[bytes, bytes] | None = None,
        signers: Sequence[tuple[Signer, str]] = (),
        day: int = 739_679,
        tx_id: bytes = bytes(32),
    ) -> None:
        self.state: dict[bytes, bytes] = {} if state is None else state
        self.signers = tuple(who for who, _ in signers)
        self.roles = tuple(role for _, role in signers)
        self.day, self.tx_id, self.height = day, tx_id, 7
        self.used: list[str] = []

    def get(self, key: bytes) -> bytes | None:
        self.used.append("get")
        return self.state.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.used.append("put")
        self.state[key] = value

    def delete(self, key: bytes) -> None:
        self.used.append("delete")
        self.state.pop(key, None)

    def scan(self, low: bytes, high: bytes, count: int) -> list[bytes]:
        self.used.append("scan")
        return sorted(key for key in self.state if low <= key < high)[:count]

    def keys(self) -> list[bytes]:
        return sorted(self.state)

    def decide(self, signer: int, role: str, company: str | None, apart: tuple[str, ...]) -> str:
        self.used.append("decide")
        user, acting_for = self.signers[signer]
        if user in apart:
            return "deny.sod"
        return "ok.role" if role in self.roles[signer].split("+") and company in (None, acting_for) else "deny.role"

    def company_has(self, company: str, role: str) -> bool:
        self.used.append("company_has")
        return company == BANK or role == "trader"


class Delegate(DictHost):
    """A copy of another host's state that asks the original about authority."""

    def __init__(self, original: Any, state: dict[bytes, bytes]) -> None:
        super().__init__(state, (), original.day, original.tx_id)
        self.original = original
        self.signers = original.signers
        self.height = original.height

    def decide(self, signer: int, role: str, company: str | None, apart: tuple[str, ...]) -> str:
        answer: str = self.original.decide(signer, role, company, apart)
        return answer

    def company_has(self, company: str, role: str) -> bool:
        answer: bool = self.original.company_has(company, role)
        return answer


def reference_of(program: Program, currencies: dict[str, int]) -> Reference:
    """Return the plain tree walker for the contracts of a program."""
    sources: list[bytes] = []
    for code in program.codes.values():
        chain = [code.source]
        while code.replaced is not None:
            code = code.replaced  # back to the first version
            chain.insert(0, code.source)
        sources += chain
    return Reference(sources, currencies)


def same(outcome: Outcome, walker: Reference, call: tuple[str, str, Sequence[Any], bool], host: DictHost) -> str:
    """Run `call` on the walker too and return "" when it agrees with `outcome`, else what differs.

    A wrong argument or method never reaches a program, so the walker is not asked about it.
    """
    contract, method, args, by_contract = call
    if outcome.abort is not None and outcome.abort.code in ("bad_argument", "unknown_method"):
        return ""
    try:
        events, result = walker.call(contract, method, list(args), host, by_contract)
    except Stop as stop:
        if outcome.abort is None:
            return f"the walker aborts {stop.code} in line {stop.line}, the closures do not"
        abort = outcome.abort
        mine = (stop.code, stop.contract, stop.line)
        if mine != (abort.code, abort.contract, abort.line):
            return f"the walker aborts {mine}, the closures {(abort.code, abort.contract, abort.line)}"
        if stop.code in ("require_failed", "ensure_failed") and (stop.reason, stop.text) != (abort.reason, abort.text):
            return f"refusals differ: {stop.reason} {stop.text!r}, {abort.reason} {abort.text!r}"
        return ""
    if outcome.abort is not None:
        return f"the closures abort {outcome.abort}, the walker does not"
    if events != outcome.events:
        return f"events differ: {events} and {outcome.events}"
    if result != outcome.result:
        return f"results differ: {result} and {outcome.result}"
    return ""
