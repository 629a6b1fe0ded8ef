"""Builds the inputs of `decide` from the state view at hand (S62, S65).

A subject is read from the registry for every request and every delivered block, so a suspension counts from the
block that executes it (S21, S27); nothing is taken from the session but the user's id.
"""

from __future__ import annotations

from typing import Protocol

from ledger.access.decide import read_subject
from ledger.access.model import Context, Point, Subject
from ledger.registry.lookup import ACTIVE, read_company, read_user


class View(Protocol):
    """The part of a state view that access needs."""

    @property
    def height(self) -> int: ...
    def get(self, key: bytes) -> bytes | None: ...


def subject_of(view: View, user_id: str, company_id: str) -> Subject | None:
    """Return the subject for a user of `company_id`, or None if the registry does not know them together."""
    user = read_user(view, user_id)
    if user is None or user.company_id != company_id:
        return None
    return read_subject(view, user_id)


def context_at(view: View, *, wall_ms: int, block_time_ms: int, point: Point) -> Context:
    """Return when and how: the later of the last block's time and the own clock, so that grants expire (S65)."""
    return Context(now_ms=max(wall_ms, block_time_ms), height=view.height, point=point)


def in_force(view: View, user_id: str, company_id: str, now_ms: int) -> bool:
    """Tell whether the user and the company are active: what keeps a token, a session or a stream open (S27)."""
    user = read_user(view, user_id)
    company = read_company(view, company_id)
    return (
        user is not None
        and company is not None
        and user.company_id == company_id
        and user.status == ACTIVE
        and company.status == ACTIVE
        and not 0 < user.valid_to_ms <= now_ms
    )
