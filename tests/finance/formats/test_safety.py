"""Hostile files are refused quickly, by name, in bounded memory (X42, X44, X49, S57, S58)."""

from __future__ import annotations

import io
import random
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest

from finance.formats import ReadOptions, ReadResult, read
from finance.formats.archive import ENTRIES_MAX
from finance.formats.xml import XML_DEPTH_MAX, XML_SIZE_MAX_BYTES

UBL = (
    '<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"'
    ' xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"'
    ' xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">'
)
SECONDS_MAX = 4
"""The rule is one second (X49); a shared test machine gets a few."""


def ubl(body: str) -> bytes:
    return f"{UBL}{body}</Invoice>".encode()


def zipped(*entries: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return stream.getvalue()


def encrypted() -> bytes:
    """Set the encryption bit in both headers of an ordinary archive."""
    data = bytearray(zipped(("a.xml", b"<a/>")))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


BILLION = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'

HOSTILE: dict[str, tuple[bytes, str]] = {
    "doctype": (b"<!DOCTYPE Invoice>" + ubl(""), "doctype"),
    "doctype in small letters": (b"<!doctype Invoice>" + ubl(""), "doctype"),
    "entity bomb": (BILLION.encode() + ubl("&c;"), "doctype"),
    "doctype behind comment and instruction": (
        b"<?xml version='1.0'?><!-- <a> --><?x <b>?>\n<!DOCTYPE a>" + ubl(""),
        "doctype",
    ),
    "doctype in UTF-16": (("<?xml version='1.0'?><!DOCTYPE a>" + ubl("").decode()).encode("utf-16"), "doctype"),
    "external entity": (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + ubl("&x;"), "doctype"),
    "undeclared entity": (ubl("&who;"), "not_well_formed"),
    "200,000 levels": (ubl("<a>" * 200_000 + "</a>" * 200_000), "too_much_markup"),
    "levels under the markup bound": (ubl("<a>" * 90_000 + "</a>" * 90_000), "not_well_formed"),
    "levels that libxml2 allows": (ubl("<a>" * 100 + "</a>" * 100), "too_deep"),
    "markup": (ubl("<a/>" * 500_000), "too_much_markup"),
    "attributes": (ubl("<a " + " ".join(f'a{n}=""' for n in range(100_000)) + "/>"), "too_many_attributes"),
    "attributes with gaps": (
        ubl("<a " + " ".join(f"a{n}={' ' * 30}''" for n in range(50_000)) + "/>"),
        "too_many_attributes",
    ),
    "100 MB single line": (b"<" + b"a" * 100_000_000, "too_large"),
    "one byte too many": (b" " * (XML_SIZE_MAX_BYTES + 1), "too_large"),
    "empty": (b"", "empty_file"),
    "blank": (b" \n ", "empty_file"),
    "text": (b"hello", "not_well_formed"),
    "wrong charset": (ubl("<cbc:Note>caf\xe9</cbc:Note>").decode().encode("latin-1"), "wrong_encoding"),
    "unknown charset": (b"<?xml version='1.0' encoding='utf-7'?>" + ubl(""), "unknown_encoding"),
    "NUL": (ubl("<cbc:Note>a\x00b</cbc:Note>"), "nul_character"),
    "truncated": (ubl("<cbc:ID>1</cbc:ID>")[:-12], "not_well_formed"),
    "PDF": (b"%PDF-1.7", "not_supported"),
    "other root": (b"<html/>", "unknown_root"),
    "other namespace": (b'<Invoice xmlns="urn:x"/>', "unknown_root"),
    "no namespace": (b"<Invoice/>", "unknown_root"),
    "UBL order": (b'<Order xmlns="urn:oasis:names:specification:ubl:schema:xsd:Order-2"/>', "not_supported"),
    "ZUGFeRD 1": (b'<a:CrossIndustryDocument xmlns:a="urn:ferd:CrossIndustryDocument:invoice:1p0"/>', "zugferd_1"),
    "XBRL": (b'<x:xbrl xmlns:x="http://www.xbrl.org/2003/instance"/>', "not_supported"),
    "zip bomb": (zipped(("a.xml", b"<a>" + b" " * 4_900_000)), "ratio"),
    "zip of one large file": (zipped(("a.xml", random.Random(1).randbytes(6_000_000))), "too_large"),
    "zip in zip": (zipped(("b.zip", zipped(("a.xml", b"<a/>")))), "nested_archive"),
    "zip without invoice": (zipped(("a.txt", b"x")), "no_invoice_in_zip"),
    "zip with many entries": (zipped(*((f"{n}.xml", b"") for n in range(ENTRIES_MAX + 1))), "too_many_entries"),
    "zip that is encrypted": (encrypted(), "encrypted"),
    "zip cut off": (zipped(("a.xml", b"<a/>"))[:-30], "broken_zip"),
    "zip with nothing": (b"PK\x05\x06" + bytes(18), "no_invoice_in_zip"),
    "zip of noise": (b"PK\x03\x04" + bytes(range(256)) * 40, "broken_zip"),
    "zip with a false directory": (
        b"PK\x03\x04" + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 9, 9, 2**31, 0, 0),
        "too_many_entries",
    ),
}


@pytest.mark.control("S57", "S58")
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_x49_a_hostile_file_is_refused_by_name(name: str) -> None:
    data, message = HOSTILE[name]
    started = time.process_time()
    result = read(data)
    assert time.process_time() - started < SECONDS_MAX
    assert result.items == () and result.refused == ()
    assert [(issue.severity, issue.field, issue.message) for issue in result.issues] == [("error", "file", message)]


def test_x44_equal_names_are_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = zipped(("a.xml", b"<a/>"), ("a.xml", b"<b/>"))
    assert [issue.message for issue in read(data).issues] == ["same_name_twice"]


def test_x44_a_name_is_a_label_never_a_path(sample: Callable[[str], bytes]) -> None:
    result = read(zipped(("../../etc/invoice.xml", sample("wrong-total"))))
    (issue,) = result.errors
    assert issue.location.path.startswith("invoice.xml!/ubl:Invoice/")


def test_x17_several_invoices_in_a_zip(sample: Callable[[str], bytes]) -> None:
    data = zipped(("b.xml", sample("02-")), ("a.xml", sample("01-")), ("c.xml", sample("wrong-")), ("d.pdf", b"%PDF"))
    result = read(data)
    assert [item.number for item in result.items] == ["FB-2026-0117", "FB-2026-0131"]
    assert [item.number for item in result.refused] == ["FB-2026-0140"]
    assert [issue.rule for issue in result.errors] == ["BR-CO-16"]


CROWDED = {
    "lines": "<cac:InvoiceLine/>" * 190_000,
    "groups": "<cac:TaxTotal><cac:TaxSubtotal/></cac:TaxTotal>" * 95_000,
    "allowances": "<cac:AllowanceCharge/>" * 190_000,
    "numbers": "<cbc:ID>1</cbc:ID>" * 190_000,
    "unknown": "<x/>" * 380_000,
    "note": f"<cbc:Note>{'x' * 5_000_000}</cbc:Note>",
    "spaces": f"<cbc:ID>{' ' * 5_000_000}</cbc:ID>",
    "digits": "<cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode><cac:LegalMonetaryTotal>"
    f"<cbc:PayableAmount>{'9' * 1_000_000}</cbc:PayableAmount></cac:LegalMonetaryTotal>",
    "exponent": "<cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode><cac:LegalMonetaryTotal>"
    "<cbc:PayableAmount>1e3000000</cbc:PayableAmount></cac:LegalMonetaryTotal>",
}


@pytest.mark.parametrize("name", sorted(CROWDED))
def test_x49_a_crowded_document_ends_with_named_errors(name: str) -> None:
    started = time.process_time()
    result = read(ubl(CROWDED[name]), None, ReadOptions(strict=False))
    assert time.process_time() - started < SECONDS_MAX
    assert result.items == () and result.errors
    assert len(result.issues) < 600 and all(len(issue.excerpt) <= 60 for issue in result.issues)


def test_x53_peak_memory_of_a_full_document() -> None:
    data = ubl("<cac:InvoiceLine/>" * 40_000)  # a fifth of what the bounds admit: tracing is slow
    tracemalloc.start()
    read(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 * 1024 * 1024  # libxml2 holds as much again beside it


def test_x42_depth_is_counted_exactly(changed: Callable[..., ReadResult]) -> None:
    for levels, messages in ((XML_DEPTH_MAX - 2, []), (XML_DEPTH_MAX, ["too_deep"])):
        nest = "<x>" * levels + "y" + "</x>" * levels
        result = changed("02-", ("<cbc:DocumentCurrencyCode>", f"{nest}<cbc:DocumentCurrencyCode>"))
        assert [issue.message for issue in result.errors] == messages


def test_s58_schema_locations_and_includes_are_not_followed(changed: Callable[..., ReadResult]) -> None:
    include = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/hostname"/>'
    result = changed("02-", ("<cbc:DocumentCurrencyCode>", f"{include}<cbc:DocumentCurrencyCode>"))
    ((path, text),) = result.items[0].origin.extras
    assert path.endswith("/include") and text == ""


def test_x12_an_attribute_of_another_namespace_does_not_pass_for_a_currency(changed: Callable[..., ReadResult]) -> None:
    pair = ('currencyID="EUR">3407.40', 'currencyID="USD" xmlns:x="urn:x" x:currencyID="EUR">3407.40')
    assert [issue.rule for issue in changed("02-", pair).errors] == ["X12"]


def test_a_stated_kind_that_is_not_the_kind_is_refused(sample: Callable[[str], bytes]) -> None:
    assert [issue.message for issue in read(sample("01-"), "cii").issues] == ["other_kind"]
    assert read(sample("01-"), "ubl").items
