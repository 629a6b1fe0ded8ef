"""The people of a company on this machine: who they are, what they may sign as, and their keys (S16).

`people.toml` in the company's home lists them; each key lies in a file of its own that a passphrase or secret opens.
A wallet may hold one person or, in a demo, all of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import Final

import msgspec

from cli.exit_codes import Exit
from cli.failure import CommandFailed
from ledger.crypto.ed25519 import SigningKey
from node.identity.keystore import KeystoreError, read_key
from node.identity.unlock import UnlockFailed, UnlockSecret, find_secret, read_secret_file

PEOPLE_FILE: Final = "people.toml"
SECRET_FILE: Final = "people.secret"  # noqa: S105  # the name of a file


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
        except msgspec.DecodeError as error:
            raise CommandFailed(Exit.USAGE, f"{path}: {error}", "correct the file") from None
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

    def choose(self, roles: Sequence[str], prefer: Sequence[str] = ()) -> list[Person]:
        """Return a different person for each role, `prefer` first (F11: maker is not checker)."""
        ranked = [self.named(label) for label in prefer]
        ranked += [person for person in self.people if person not in ranked]
        chosen = _assign(list(roles), ranked)
        if chosen is None:
            raise CommandFailed(
                Exit.NOT_ALLOWED,
                f"the people here cannot fill the roles {', '.join(roles)} with different persons",
                "add a signature elsewhere: --generate-only, then hansa tx sign on the other person's machine",
            )
        return chosen

    def key(self, person: Person) -> SigningKey:
        """Open the person's key; the secret is asked for at most once a command."""
        if person.user_id not in self._keys:
            try:
                stored = read_key(self.home / person.key, self._unlock())
            except (KeystoreError, UnlockFailed) as error:
                raise CommandFailed(Exit.NOT_ALLOWED, str(error), "check the passphrase and the file's mode") from None
            self._keys[person.user_id] = stored.signing_key()
        return self._keys[person.user_id]

    def _unlock(self) -> UnlockSecret:
        if self._secret is None:
            named = os.environ.get("HANSA_KEY_FILE")
            beside = self.home / SECRET_FILE
            if named or beside.exists():
                self._secret = read_secret_file(Path(named) if named else beside)
            else:
                self._secret = find_secret(
                    "prompt",
                    key_file=None,
                    development=False,
                    environment=os.environ,
                    prompt=getpass if sys.stdin.isatty() else None,
                )
        return self._secret


def _assign(roles: list[str], people: Sequence[Person]) -> list[Person] | None:
    """First fit with backtracking, as the runtime assigns signers to demands (contracts H7)."""
    if not roles:
        return []
    for person in people:
        if roles[0] in person.roles:
            rest = _assign(roles[1:], [other for other in people if other is not person])
            if rest is not None:
                return [person, *rest]
    return None
