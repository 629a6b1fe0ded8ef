"""State keys as people write them, and values as people read them (LR9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import statekeys, trust
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from ledger.codec import encode
from ledger.genesis import CURRENCIES_KEY, NETWORK_KEY, PARAMS_KEY, contract_key
from ledger.registry.lookup import company_key, node_key, nonce_key, user_key


@pytest.fixture(scope="module")
def trusted(founded: tuple[Path, object]) -> trust.Trusted:
    return trust.load(founded[0] / "lifeng" / trust.GENESIS_FILE)


def test_records_have_names(trusted: trust.Trusted) -> None:
    assert statekeys.parse_key("params", trusted) == PARAMS_KEY
    assert statekeys.parse_key("currencies", trusted) == CURRENCIES_KEY
    assert statekeys.parse_key("network", trusted) == NETWORK_KEY
    for kind, key in (("company", company_key), ("node", node_key), ("user", user_key), ("nonce", nonce_key),
                      ("contract", contract_key)):  # fmt: skip
        assert statekeys.parse_key(f"{kind}/some-id", trusted) == key("some-id")
    assert statekeys.parse_key("00ff", trusted) == b"\x00\xff"


def test_a_row_is_named_by_contract_table_and_key_fields(trusted: trust.Trusted) -> None:
    interface = trusted.program.interfaces["invoices"]
    low, high = interface.table_range("Invoice")
    key = statekeys.parse_key("invoices.Invoice/inv-1", trusted)
    assert key == interface.row_key("Invoice", ["inv-1"]) and low <= key < high
    assert statekeys.parse_key(key.hex(), trusted) == key


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", Exit.USAGE, "names no place"),
        ("foo", Exit.USAGE, "names no place"),
        ("company/", Exit.USAGE, "names no place"),
        ("ABCD", Exit.USAGE, "names no place"),
        ("abc", Exit.USAGE, "names no place"),
        ("invoices.Invoice", Exit.USAGE, "names no place"),
        ("invoices.Invoice//", Exit.USAGE, "names no place"),
        ("invoice.Invoice/x", Exit.NOT_FOUND, "no contract invoice"),
        ("invoices.Invoic/x", Exit.NOT_FOUND, "no table Invoic"),
        ("invoices.Invoice/x/y", Exit.USAGE, "1 key fields, 2 are given"),
        ("../../etc/passwd", Exit.USAGE, "names no place"),
    ],
)
def test_what_names_nothing_is_refused_with_what_would(
    text: str, code: Exit, words: str, trusted: trust.Trusted
) -> None:
    with pytest.raises(CommandFailed) as refused:
        statekeys.parse_key(text, trusted)
    assert refused.value.code is code and words in refused.value.text and refused.value.next_step


def test_values_are_read_by_the_place_they_stand_at(trusted: trust.Trusted) -> None:
    document = trusted.document
    company = document.companies[0]
    what, found = statekeys.read_value(company_key(company.company_id), encode(company), trusted)
    assert what == "company record" and found["company_id"] == company.company_id and found["status"] == "active"
    what, found = statekeys.read_value(PARAMS_KEY, encode(document.params), trusted)
    assert what == "parameters" and found["max_block_txs"] == document.params.max_block_txs
    what, found = statekeys.read_value(CURRENCIES_KEY, encode(document.currencies), trusted)
    assert ["EUR", 2] in found
    assert statekeys.read_value(b"zz", b"\x01\x02", trusted) == ("bytes", "0102")


@pytest.mark.parametrize("value", [b"", b"\xff", b"\xc1", b"\x90", b"\x91\xc0" * 50])
def test_a_value_that_is_not_what_its_place_says_is_shown_as_bytes(value: bytes, trusted: trust.Trusted) -> None:
    for key in (company_key("c"), user_key("u"), node_key("n"), nonce_key("u"), PARAMS_KEY, contract_key("invoices")):
        assert statekeys.read_value(key, value, trusted) == ("bytes", value.hex())
