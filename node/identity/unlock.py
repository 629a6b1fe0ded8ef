"""Where the secret that opens a keystore comes from (S37).

A passphrase is stretched with Argon2id; a secret of 256 bits needs no stretching. It is read from a systemd
credential, a file that only its owner can read, or a prompt. The environment variable is for development networks
only, because environments end up in dumps and process lists.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

SECRET_BYTES: Final = 32
PASSPHRASE_MIN: Final = 10
PASSPHRASE_MAX: Final = 1024
CREDENTIAL_NAME: Final = "hansa-master"
ENVIRONMENT_NAME: Final = "HANSA_PASSPHRASE"
KEY_FILE_NAME: Final = "HANSA_KEY_FILE"
_FILE_LIMIT_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Words that a person remembers; never shown."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Secret:
    """32 random bytes from a credential or file; never shown."""

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) != SECRET_BYTES:
            raise ValueError(f"an unlocking secret has {SECRET_BYTES} bytes, not {len(self.value)}")


UnlockSecret: TypeAlias = Passphrase | Secret


class UnlockFailed(Exception):
    """No usable secret. The message names the source and what to do."""

    code = "unlock"


def find_secret(
    source: str,
    *,
    key_file: Path | None,
    development: bool,
    environment: Mapping[str, str],
    prompt: Callable[[str], str] | None,
) -> UnlockSecret:
    """Return the secret from `source`: `prompt`, `credential`, `file` or `environment` (setting node.unlock).

    `prompt` is None without a terminal: nothing ever asks a question that nobody can answer (U15).
    """
    if source == "file":
        named = environment.get(KEY_FILE_NAME)
        path = Path(named) if named else key_file
        if path is None:
            raise UnlockFailed(f'node.unlock is "file": set node.key_file or {KEY_FILE_NAME}')
        return read_secret_file(path)
    if source == "credential":
        folder = environment.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise UnlockFailed(
                f'node.unlock is "credential": start under systemd with LoadCredentialEncrypted={CREDENTIAL_NAME}:…'
            )
        return read_secret_file(Path(folder) / CREDENTIAL_NAME)
    if source == "environment":
        if not development:
            raise UnlockFailed(
                "a passphrase in the environment is accepted on development networks only; "
                'set node.unlock to "file" or "credential"'
            )
        text = environment.get(ENVIRONMENT_NAME)
        if not text:
            raise UnlockFailed(f'node.unlock is "environment": {ENVIRONMENT_NAME} is not set')
        return Passphrase(text)
    if source == "prompt":
        if prompt is None:
            raise UnlockFailed(
                'node.unlock is "prompt" and there is no terminal; set node.unlock to "file" or "credential"'
            )
        return check_passphrase(prompt("Passphrase of the keystore: "), new=False)
    raise UnlockFailed(f"node.unlock {source!r} is none of prompt, credential, file, environment")


def check_passphrase(text: str, *, new: bool) -> Passphrase:
    """Return a passphrase of acceptable length; new ones must not be short."""
    if not text:
        raise UnlockFailed("the passphrase is empty")
    if len(text) > PASSPHRASE_MAX or (new and len(text) < PASSPHRASE_MIN):
        raise UnlockFailed(f"a new passphrase has {PASSPHRASE_MIN} to {PASSPHRASE_MAX} characters")
    return Passphrase(text)


def read_secret_file(path: Path) -> UnlockSecret:
    """Read a secret: 32 bytes raw or as 64 hexadecimal digits, or else one line that is a passphrase.

    Refuses links and files that others can read (S36, U7).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise UnlockFailed(
            f"the key file {path} does not exist; name it with node.key_file or {KEY_FILE_NAME}"
        ) from None
    except OSError as error:
        raise UnlockFailed(
            f"the key file {path} cannot be opened ({error.strerror}); links are not followed"
        ) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _FILE_LIMIT_BYTES:
            raise UnlockFailed(f"the key file {path} is not a small regular file")
        if status.st_mode & 0o077:
            raise UnlockFailed(f"others can read the key file {path}; run chmod 600 {path}")
        if status.st_uid not in (os.geteuid(), 0):
            raise UnlockFailed(f"the key file {path} belongs to user {status.st_uid}, not to the user of this process")
        raw = os.read(descriptor, _FILE_LIMIT_BYTES)
    finally:
        os.close(descriptor)
    if len(raw) == SECRET_BYTES:
        return Secret(raw)
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise UnlockFailed(f"the key file {path} is neither {SECRET_BYTES} bytes nor a line of text") from None
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return Secret(bytes.fromhex(text))
    if "\n" in text:
        raise UnlockFailed(f"the key file {path} has more than one line")
    return check_passphrase(text, new=False)
