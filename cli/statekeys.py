"""State keys as people write them, and what stands there (LR9).

    invoices.Invoice/inv-3f9a        a row of a contract: table and key fields
    company/ID  node/ID  user/ID  nonce/ID  contract/NAME  params  currencies  network
    72632e…                          the key itself, in hexadecimal

Rows are named and decoded by the contracts of the genesis file and those that votes brought, compiled here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.trust import Trusted
from ledger.codec import Codec
from ledger.errors import LedgerError
from ledger.genesis import CURRENCIES_KEY, NETWORK_KEY, PARAMS_KEY, contract_key, contract_meta_codec
from ledger.params import Params
from ledger.registry.lookup import company_key, node_key, nonce_codec, nonce_key, user_key
from ledger.registry.records import company_codec, node_codec, user_codec

_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)
_ROW: Final = re.compile(r"([a-z][a-z0-9_]*)\.([A-Z][A-Za-z0-9_]*)((?:/[^/]+)+)", re.ASCII)
_RECORDS: Final[Mapping[str, Callable[[str], bytes]]] = {
    "company": company_key,
    "node": node_key,
    "user": user_key,
    "nonce": nonce_key,
    "contract": contract_key,
}
_SINGLE: Final = {"params": PARAMS_KEY, "currencies": CURRENCIES_KEY, "network": NETWORK_KEY}
_CODECS: Final[tuple[tuple[bytes, Codec[Any]], ...]] = (
    (b"rc", company_codec),
    (b"rn", node_codec),
    (b"ru", user_codec),
    (b"n", nonce_codec),
    (PARAMS_KEY, Codec(Params, "parameters", 4096)),
    (CURRENCIES_KEY, Codec(tuple[tuple[str, int], ...], "currencies", 64 * 1024)),
    (NETWORK_KEY, Codec(tuple[str, bool, int], "network", 4096)),
    (b"c", contract_meta_codec),
)
FORMS: Final = "write it like invoices.Invoice/inv-…, company/ID, user/ID, contract/NAME, params, or in hexadecimal"


def names_row(text: str) -> bool:
    """Tell whether `text` names a row of a contract: its contract must be known to read it."""
    return _ROW.fullmatch(text) is not None or bool(_HEX.fullmatch(text) and bytes.fromhex(text).startswith(b"t"))


def parse_key(text: str, trusted: Trusted) -> bytes:
    """Return the state key that `text` names; refuse what names none."""
    if text in _SINGLE:
        return _SINGLE[text]
    kind, slash, rest = text.partition("/")
    if slash and rest and kind in _RECORDS:
        return _RECORDS[kind](rest)
    row = _ROW.fullmatch(text)
    if row is not None:
        contract, table, parts = row.group(1), row.group(2), row.group(3)[1:].split("/")
        return _row_key(trusted, contract, table, parts)
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    raise CommandFailed(Exit.USAGE, f"{text!r} names no place in the state", FORMS)


def read_value(key: bytes, value: bytes, trusted: Trusted) -> tuple[str, Any]:
    """Return (what it is, content for JSON) of a proven value; bytes in hexadecimal when its form is not known."""
    from contracts.errors import ContractsError
    from node.api import shapes

    if key.startswith(b"t"):
        for contract, interface in trusted.program.interfaces.items():
            for table, schema in interface.tables.items():
                low, high = interface.table_range(table)
                if low <= key < high:
                    try:
                        fields = interface.decode_row(table, value)
                    except ContractsError as error:
                        raise CommandFailed(
                            Exit.FINDINGS,
                            f"the row is proven, and no version of {contract} known here reads it: {error}",
                            "save the proof again with hansa state get KEY --save FILE; it brings the contracts along",
                        ) from None
                    return f"{contract}.{table}", shapes.typed(schema.fields, fields, trusted.currencies, trusted.names)
    for prefix, codec in _CODECS:
        if key.startswith(prefix):
            try:
                return codec.what, _builtins(codec.decode(value))
            except LedgerError:
                continue  # the source of a contract stands under the same letter as its metadata
    return "bytes", value.hex()


def _row_key(trusted: Trusted, contract: str, table: str, parts: list[str]) -> bytes:
    from cli.amounts import parse_argument

    interface = trusted.program.interfaces.get(contract)
    if interface is None:
        known = ", ".join(sorted(trusted.program.interfaces))
        raise CommandFailed(Exit.NOT_FOUND, f"there is no contract {contract}", f"known are {known}")
    schema = interface.tables.get(table)
    if schema is None:
        known = ", ".join(sorted(interface.tables)) or "none"
        raise CommandFailed(Exit.NOT_FOUND, f"{contract} has no table {table}", f"known are {known}")
    if len(parts) != len(schema.key):
        wanted = "/".join(field.name for field in schema.key)
        raise CommandFailed(
            Exit.USAGE,
            f"{contract}.{table} has {len(schema.key)} key fields, {len(parts)} are given",
            f"write it like {contract}.{table}/{wanted}",
        )
    values = [
        parse_argument(text, field.type, trusted.currencies) for field, text in zip(schema.key, parts, strict=True)
    ]
    try:
        return interface.row_key(table, values)
    except ValueError as error:
        raise CommandFailed(Exit.USAGE, str(error), FORMS) from None


def _builtins(record: Any) -> Any:
    import msgspec

    if isinstance(record, msgspec.Struct):
        return {name: _builtins(getattr(record, name)) for name in record.__struct_fields__}
    if isinstance(record, bytes):
        return record.hex()
    if isinstance(record, tuple | list):
        return [_builtins(item) for item in record]
    return record
