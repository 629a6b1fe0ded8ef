"""Secrets that open key files, on the command line: a key file, the file beside the home, or a prompt (S37, U7, U15).

A passphrase never stands on the command line or in the environment, and nothing is asked where nobody can answer:
the refusal names the flag that would have answered.
"""

from __future__ import annotations

import os
import secrets
import sys
from getpass import getpass
from pathlib import Path
from typing import Final

from cli.exit_codes import Exit
from cli.failure import CommandFailed
from node.identity.keystore import KeystoreError, StoredKey, WrongSecret, read_key
from node.identity.unlock import SECRET_BYTES, UnlockFailed, UnlockSecret, check_passphrase, read_secret_file

PEOPLE_SECRET: Final = "people.secret"  # noqa: S105  # the name of a file
KEY_FILE_NAME: Final = "HANSA_KEY_FILE"


def from_file(path: Path) -> UnlockSecret:
    """Return the secret in a key file; a fault names the file and the fix."""
    try:
        return read_secret_file(path)
    except UnlockFailed as error:
        text = str(error) if str(path) in str(error) else f"the key file {path} is of no use: {error}"
        raise CommandFailed(
            Exit.NOT_ALLOWED, text, f"make a new one with hansa key new-secret {path}, or name the right file"
        ) from None


def new_secret(key_file: str | None, what: str, flag: str) -> UnlockSecret:
    """Return the secret for keys that are made now: from `key_file`, or a passphrase that is typed twice."""
    if key_file:
        return from_file(Path(key_file))
    if not sys.stdin.isatty():
        raise CommandFailed(
            Exit.USAGE,
            f"a passphrase for {what} is needed and nobody can be asked here",
            f"name a file with {flag}; hansa key new-secret FILE makes one",
        )
    first = getpass(f"New passphrase for {what}: ")
    if getpass("The same again: ") != first:
        raise CommandFailed(Exit.USAGE, "the two passphrases differ", "start again")
    try:
        return check_passphrase(first, new=True)
    except UnlockFailed as error:
        raise CommandFailed(Exit.USAGE, str(error), "choose another one") from None


def held_secret(key_file: str | None, beside: Path | None, what: str, flag: str) -> UnlockSecret:
    """Return the secret of keys that exist: flag, HANSA_KEY_FILE, the file `beside`, or a prompt, in this order.

    `flag` is the option that the command has for it, or "".
    """
    named = key_file or os.environ.get(KEY_FILE_NAME)
    if named:
        return from_file(Path(named))
    if beside is not None and beside.exists():
        return from_file(beside)
    if not sys.stdin.isatty():
        raise CommandFailed(
            Exit.USAGE,
            f"the passphrase of {what} is needed and nobody can be asked here",
            f"name a file that holds it with {flag} or {KEY_FILE_NAME}"
            if flag
            else f"name its file in {KEY_FILE_NAME}",
        )
    try:
        return check_passphrase(getpass(f"Passphrase of {what}: "), new=False)
    except UnlockFailed as error:
        raise CommandFailed(Exit.USAGE, str(error), "start again") from None


def open_key(path: Path, secret: UnlockSecret) -> StoredKey:
    """Open a key file that stands alone; a wrong secret and a damaged file have an exit code of their own."""
    try:
        return read_key(path, secret)
    except KeystoreError as error:
        raise refusal(error) from None


def refusal(error: KeystoreError) -> CommandFailed:
    """Return what a person reads when a key file does not open."""
    if isinstance(error, WrongSecret):
        return CommandFailed(
            Exit.NOT_ALLOWED, str(error), "name the key file or type the passphrase that belongs to this key"
        )
    return CommandFailed(
        Exit.NOT_ALLOWED, str(error), "check path, owner and mode (0600), or restore the file from your backup"
    )


def draw_secret() -> bytes:
    """Return the content of a new key file: 64 hexadecimal digits and a line end."""
    return secrets.token_bytes(SECRET_BYTES).hex().encode("ascii") + b"\n"
