"""The few facts of an X.509 certificate that a running node needs, read without an X.509 library.

Importing one costs 19 MB (performance E37), and a daemon only asks: which public key does this certificate carry,
and until when is it dated? Both are at fixed places of the DER structure (RFC 5280 section 4.1). Making and renewing
certificates uses the library (`node.identity.tls`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

CERTIFICATE_LIMIT_BYTES: Final = 16 * 1024

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERAL_TIME: Final = 0x18


class CertificateMalformed(Exception):
    """Bytes that are not a DER certificate."""

    code = "certificate_malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """`spki_sha256` is what the registry pins (S30). Dates are UTC milliseconds; they only warn (S29)."""

    spki_sha256: bytes
    not_before_ms: int
    not_after_ms: int


def facts_of(der: bytes) -> CertificateFacts:
    """Return the facts of a DER certificate; raise `CertificateMalformed`."""
    if len(der) > CERTIFICATE_LIMIT_BYTES:
        raise CertificateMalformed(f"{len(der)} bytes, the limit is {CERTIFICATE_LIMIT_BYTES}")
    outer, end = _element(der, 0, _SEQUENCE)
    if end != len(der):
        raise CertificateMalformed("bytes after the certificate")
    body, _ = _element(der, outer, _SEQUENCE)
    position = body
    if der[position : position + 1] == bytes([_VERSION]):
        _, position = _element(der, position, _VERSION)
    for _ in range(3):  # serial number, signature algorithm, issuer
        _, position = _element(der, position, None)
    validity, position = _element(der, position, _SEQUENCE)
    _, position = _element(der, position, _SEQUENCE)  # subject
    start = position
    _, position = _element(der, position, _SEQUENCE)
    not_before, after = _time(der, validity)
    not_after, _ = _time(der, after)
    return CertificateFacts(
        spki_sha256=sha256(der[start:position]).digest(), not_before_ms=not_before, not_after_ms=not_after
    )


def spki_sha256(der: bytes) -> bytes:
    """Return SHA-256 of the SubjectPublicKeyInfo of a DER certificate; raise `CertificateMalformed`."""
    return facts_of(der).spki_sha256


def _element(der: bytes, position: int, wanted: int | None) -> tuple[int, int]:
    """Return (start of the content, end) of the element at `position`, checked against the bounds of `der`."""
    if position + 2 > len(der):
        raise CertificateMalformed("it ends too early")
    tag, length = der[position], der[position + 1]
    if wanted is not None and tag != wanted:
        raise CertificateMalformed(f"an element with tag {tag:#04x} where {wanted:#04x} belongs")
    start = position + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 3 or start + count > len(der):
            raise CertificateMalformed("a length is malformed")
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    if start + length > len(der):
        raise CertificateMalformed("an element is longer than the certificate")
    return start, start + length


def _time(der: bytes, position: int) -> tuple[int, int]:
    start, end = _element(der, position, None)
    try:
        text = der[start:end].decode("ascii")
        if der[position] == _UTC_TIME and re.fullmatch(r"[0-9]{12}Z", text):
            year = int(text[:2])
            moment = datetime.strptime(f"{2000 + year if year < 50 else 1900 + year}{text[2:-1]}", "%Y%m%d%H%M%S")
        elif der[position] == _GENERAL_TIME and re.fullmatch(r"[0-9]{14}Z", text):
            moment = datetime.strptime(text[:-1], "%Y%m%d%H%M%S")
        else:
            raise CertificateMalformed("a date is malformed")
    except ValueError:
        raise CertificateMalformed("a date is malformed") from None
    return int(moment.replace(tzinfo=UTC).timestamp() * 1000), end
