"""Four ends of a program that must never be mixed up (contracts section 15).

* `SourceError`: the text is not a contract. One error with code, line, column and text (L8).
* `LinkError`: contracts that are each right do not fit together (L44, L45).
* `Aborted`: a running call ends and everything it did vanishes (L66). The only exception `execute` turns into an
  outcome (D3).
* `ContractFault`: a bug of ours or damaged state. It leaves the runtime and stops the node (L68).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

ABORT_CODES: Final = (
    "require_failed", "ensure_failed", "invariant_failed",
    "not_authorised", "bad_argument", "missing_row", "row_exists", "missing_key", "none_value", "index_range",
    "limit_exceeded", "list_full", "map_full", "text_too_long", "overflow", "divide_by_zero", "bad_weights",
    "currency_mismatch", "date_range", "out_of_gas", "memory_budget", "write_budget", "event_budget",
    "unknown_method",
)  # fmt: skip
"""Every code an abort can carry (L66); the first three are the program's own."""

TEXT_MAX: Final = 200
"""Code points of the text of an abort (L67)."""

QUOTE_MAX: Final = 40
"""Characters of the source that an error may quote (L8)."""


class ContractsError(Exception):
    """Base of the errors of `contracts`."""


class SourceError(ContractsError):
    """The first thing wrong with a source. Lines and columns count from 1.

    `contract` names the source where several are compiled together, else "".
    """

    def __init__(self, code: str, line: int, column: int, text: str) -> None:
        super().__init__(f"{line}:{column}: {code}: {text}")
        self.code = code
        self.line = line
        self.column = column
        self.text = text
        self.contract = ""


class About:
    """A block whose `SourceError` names the contract it is about."""

    def __init__(self, contract: str) -> None:
        self.contract = contract

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, SourceError):
            error.contract = self.contract


class LinkError(ContractsError):
    """Active contracts do not fit together. `contract` names the one that cannot run."""

    def __init__(self, contract: str, reason: str) -> None:
        super().__init__(f"{contract}: {reason}")
        self.contract = contract
        self.reason = reason


class ContractFault(ContractsError):
    """State or code is damaged. Not an abort: the node stops (H4, D3)."""


class Aborted(ContractsError):
    """A call ends here. Raised inside the interpreter, caught once in `Program.execute`."""

    def __init__(self, code: str, reason: str, contract: str, version: int, line: int, text: str) -> None:
        super().__init__(code)
        self.code = code
        self.reason = reason
        self.contract = contract
        self.version = version
        self.line = line
        self.text = text[:TEXT_MAX]


def meant(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean x?` with the nearest known name, at most two letters away, or "".

    >>> meant("amout", ["amount", "owner"]), meant("x", ["y"])
    ('; did you mean `amount`?', '')
    """
    best, found = min(2, (len(word) - 1) // 2) + 1, ""
    for name in known:
        far = _letters_between(word, name, best) if abs(len(name) - len(word)) < best else best
        if far < best:
            best, found = far, name
    return f"; did you mean `{found}`?" if found and found != word else ""


def _letters_between(left: str, right: str, limit: int) -> int:
    """Return how many letters must be put in, left out, exchanged or swapped, or `limit` when it is no fewer."""
    older: list[int] = []
    before: list[int] = []
    row = list(range(len(right) + 1))
    for at, letter in enumerate(left, 1):
        older, before, row = before, row, [at]
        for place, other in enumerate(right, 1):
            row.append(min(before[place] + 1, row[-1] + 1, before[place - 1] + (letter != other)))
            if at > 1 and place > 1 and letter == right[place - 2] and left[at - 2] == other:
                row[-1] = min(row[-1], older[place - 2] + 1)
        if min(row) >= limit:
            return limit
    return min(row[-1], limit)


def quote(source: str) -> str:
    """Return at most QUOTE_MAX characters of `source`, printable ones only (L8, K12)."""
    kept = "".join(c if " " <= c <= "~" else "?" for c in source[:QUOTE_MAX])
    return kept if len(source) <= QUOTE_MAX else kept[: QUOTE_MAX - 3] + "..."
