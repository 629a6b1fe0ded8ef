"""What a file is, by its content: magic bytes, then the namespace and name of its root (X9)."""

from __future__ import annotations

from typing import Final

from finance.formats import archive, cii, fapiao, ubl
from finance.formats.values import excerpt
from finance.formats.xml import Node, Refused

PREFIXES: Final = {**ubl.PREFIXES, **cii.PREFIXES}
"""Namespaces of every invoice syntax: a document is parsed once and then recognised."""

KINDS: Final = ("ubl", "cii", "fapiao")

_ZUGFERD_1: Final = "urn:ferd:CrossIndustryDocument:"
_EINV: Final = "http://www.xbrl.org/2003/instance"
_UBL: Final = "urn:oasis:names:specification:ubl:schema:xsd:"
_FOREIGN_MAGIC: Final = ((b"%PDF-", "PDF"), (b"OFDR", "OFD"), (b"{", "JSON"), (b"\x7fELF", "ELF"))


def is_zip(data: bytes) -> bool:
    """Tell whether `data` is a zip archive; an empty one counts."""
    return data.startswith((archive.MAGIC, b"PK\x05\x06"))


def refuse_foreign(data: bytes) -> None:
    """Raise `Refused` for a file that no reader of XML could make sense of."""
    for magic, name in _FOREIGN_MAGIC:
        if data.lstrip()[: len(magic)] == magic:
            raise Refused("X9", "not_supported", kind=name)


def kind_of(root: Node) -> str:
    """Return the reader for a parsed document; raise `Refused` naming the root if there is none."""
    if root.name in (ubl.ROOT_INVOICE, ubl.ROOT_CREDIT_NOTE):
        return "ubl"
    if root.name == cii.ROOT:
        return "cii"
    address, _, local = root.name.rpartition("}")
    address = address.lstrip("{")
    if fapiao.is_root(local):
        return "fapiao"
    if address.startswith(_ZUGFERD_1):
        raise Refused("X14", "zugferd_1", line=root.line)
    if address == _EINV:
        raise Refused("X40", "not_supported", line=root.line, kind="XBRL (einv)")
    if address.startswith(_UBL):
        raise Refused("X9", "not_supported", line=root.line, kind=f"UBL {excerpt(local)}")
    raise Refused("X9", "unknown_root", line=root.line, root=excerpt(local), address=excerpt(address, 120) or "-")
