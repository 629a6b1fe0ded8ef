"""What the desk is asked and what it answers: plain records, cheap to import (performance E38)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentWish:
    """How a foreign file is to be read. `seller` and `buyer` override the directory, on development networks only."""

    name: str
    strict: bool
    terms_days: int
    seller: str = ""
    buyer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFinding:
    """One remark of the reader about a file."""

    rule: str
    severity: str
    field: str
    place: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentTaken:
    """A document that may be issued: the control fields of the call, amounts as (currency, minor units) (F3)."""

    kind: str
    type_code: str
    profile: str
    number: str
    number_key: str
    preceding_keys: tuple[str, ...]
    seller: str
    buyer: str
    net: tuple[str, int]
    tax: tuple[str, int]
    total: tuple[str, int]
    issued: str
    due: str
    root: str
    fields: int
    findings: tuple[DocumentFinding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRefused:
    """A document that may not be issued: which field, and why."""

    number: str
    field: str
    code: str
    reason: str
    findings: tuple[DocumentFinding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedOriginal:
    """An opened original with the seed of its field tree."""

    name: str
    seller: str
    buyer: str
    data: bytes
    seed: bytes
    sha256: bytes
