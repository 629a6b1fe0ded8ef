"""The people of a company on this machine: who they are, what they may sign as, and their keys (S16).

`people.toml` in the company's home lists them; each key lies in a file of its own that a passphrase or secret opens.
A wallet may hold one person or, in a demo, all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.unlocking import PEOPLE_SECRET, held_secret, open_key
from ledger.crypto.ed25519 import SigningKey
from node.identity.unlock import UnlockSecret

PEOPLE_FILE: Final = "people.toml"


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One user of the company; `key` is the key file, relative to the home."""

    label: str
    user_id: str
    roles: tuple[str, ...]
    key: str


class _People(msgspec.Struct, frozen=True, kw_only=True):
    company_id: str
    person: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class Signing:
    """A person about to sign, and in which capacity."""

    person: Person
    capacity: str
    company_id: str


class Wallet:
    """The people in one company home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        path = home / PEOPLE_FILE
        try:
            people = msgspec.toml.decode(path.read_bytes(), type=_People)
        except OSError:
            raise CommandFailed(
                Exit.USAGE,
                f"there is no {PEOPLE_FILE} in {home}",
                "name the company's home with --home, or make one with hansa init",
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CommandFailed(
                Exit.USAGE, f"{path}: {error}", "correct the file, or restore it from a backup"
            ) from None
        self.company_id = people.company_id
        self.people = people.person
        self._keys: dict[str, SigningKey] = {}
        self._secret: UnlockSecret | None = None

    def named(self, label: str) -> Person:
        """Return the person with this label or user id."""
        for person in self.people:
            if label in (person.label, person.user_id):
                return person
        known = ", ".join(person.label for person in self.people)
        raise CommandFailed(Exit.USAGE, f"nobody here is called {label!r}", f"known are {known}")

    def choose(self, roles: Sequence[str], named: Sequence[str] = ()) -> list[Person]:
        """Return a different person for each role (F11: maker is not checker); who is `named` signs, or nobody does."""
        wanted = list(dict.fromkeys(self.named(label) for label in named))
        chosen = _assign(list(roles), [*wanted, *(person for person in self.people if person not in wanted)], wanted)
        if chosen is not None:
            return chosen
        needed = ", ".join(roles)
        if wanted:
            who = ", ".join(f"{person.label} ({', '.join(person.roles)})" for person in wanted)
            raise CommandFailed(
                Exit.NOT_ALLOWED,
                f"this needs the roles {needed}, one person each; {who} cannot be among those who sign",
                "name other people with --as, or leave it out: hansa whoami and people.toml show who holds which role",
            )
        raise CommandFailed(
            Exit.NOT_ALLOWED,
            f"the people here cannot fill the roles {needed} with different persons",
            "add a signature elsewhere: --generate-only, then hansa tx sign on the other person's machine",
        )

    def key(self, person: Person) -> SigningKey:
        """Open the person's key; the secret is asked for at most once a command."""
        if person.user_id not in self._keys:
            if self._secret is None:
                self._secret = held_secret(None, self.home / PEOPLE_SECRET, "the keys of people", "")
            self._keys[person.user_id] = open_key(self.home / person.key, self._secret).signing_key()
        return self._keys[person.user_id]


def _assign(roles: list[str], people: Sequence[Person], needed: Sequence[Person]) -> list[Person] | None:
    """First fit with backtracking, as the runtime assigns signers to demands (contracts H7); all `needed` are in it."""
    if len(needed) > len(roles):
        return None
    if not roles:
        return []
    for person in people:
        if roles[0] in person.roles:
            others, left = [[one for one in group if one is not person] for group in (people, needed)]
            rest = _assign(roles[1:], others, left)
            if rest is not None:
                return [person, *rest]
    return None
