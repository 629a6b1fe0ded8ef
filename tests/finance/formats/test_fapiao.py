"""e-fapiao: dialects, words, red letters, six decimals (X15, X16, F19, F65)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from finance.formats import ReadResult, read
from finance.formats.words import chinese_amount
from finance.model import CreditNote, Issue
from ledger.money import Money

Changed = Callable[..., ReadResult]


def test_the_common_facts(changed: Changed) -> None:
    (item,) = changed("05-").items
    assert item.fapiao is not None and item.fapiao.special and not item.fapiao.red
    assert item.fapiao.issued_at == "2026-03-05 09:12:44"
    assert [line.net.minor for line in item.lines] == [1723000, -23000, 54000]
    assert [group.tax.minor for group in item.tax_groups] == [4860, 221000]
    assert [str(group.rate) for group in item.tax_groups] == ["9", "13"]


def test_f19_line_tax_keeps_its_decimals(changed: Changed) -> None:
    (item,) = changed("06-").items
    assert item.lines[0].tax == Decimal("111.995000")
    assert item.totals.tax == Money(11200, "CNY")


def test_x15_line_taxes_may_differ_by_a_cent_each(changed: Changed) -> None:
    near = changed("07-", (">360.000000<", ">360.019000<"), (">6360.000000<", ">6360.019000<"))
    assert near.errors == ()
    far = changed("07-", (">360.000000<", ">360.030000<"), (">6360.000000<", ">6360.030000<"))
    assert [issue.rule for issue in far.errors] == ["F19"]


def test_x16_words_and_figure_agree(changed: Changed, only: Callable[[ReadResult], Issue]) -> None:
    issue = only(changed("07-", ("捌佰捌拾圆", "捌佰玖拾圆")))
    assert (issue.rule, issue.field, issue.message) == ("X16", "fapiao.amount_in_words", "words_differ")
    assert issue.excerpt == "壹万零捌佰玖拾圆整"


def test_x16_a_red_invoice_is_a_credit_note_and_names_its_slip(changed: Changed) -> None:
    (item,) = changed("06-").items
    assert isinstance(item, CreditNote)
    assert item.fapiao is not None and item.fapiao.confirmation_slip == "32022603181000000042"
    assert item.preceding[0].number == "26322000000000100117"
    without = changed("06-", ("红字发票信息确认单编号：32022603181000000042", ""))
    assert [issue.rule for issue in without.errors] == ["F65"]
    assert changed("06-", ("红字发票信息确认单编号：32022603181000000042", ""), strict=False).items != ()


def test_x16_label_and_sign_agree_even_in_lenient_mode(changed: Changed) -> None:
    wrong = changed("06-", ("<LabelCode>N<", "<LabelCode>Y<"), strict=False)
    assert [issue.message for issue in wrong.errors] == ["red_sign"]


def test_f3_the_number_of_a_person_is_refused_in_every_mode(changed: Changed) -> None:
    for strict in (True, False):
        result = changed("05-", ("91320500MA26LF7K0B", "11010519491231002X"), strict=strict)
        assert [issue.rule for issue in result.errors] == ["F3"]


def test_x39_a_wrong_code_is_an_error_or_a_warning(changed: Changed) -> None:
    pair = ("91320200MA27QM3X1F", "91320200MA27QM3X1G")
    assert [issue.field for issue in changed("05-", pair).errors] == ["seller.vat_id"]
    assert changed("05-", pair, strict=False).errors == ()


def test_x15_aliases_are_found_without_regard_to_case_and_noted(changed: Changed) -> None:
    plain = changed("07-").items
    result = changed(
        "07-",
        ("EInvoice>", "Einvoice>"),
        ("SellerIdNum>", "xsfnsrsbh>"),
        ("BuyerName>", "购买方名称>"),
        ("TotalAmWithoutTax>", "TOTALAMWITHOUTTAX>"),
    )
    assert result.items == plain
    assert {dict(issue.values)["alias"] for issue in result.issues} >= {"Einvoice", "xsfnsrsbh", "购买方名称"}


@pytest.mark.parametrize(
    ("rate", "category", "percent"), [("13%", "S", "13"), ("0", "Z", "0"), ("免税", "E", "0"), ("不征税", "O", None)]
)
def test_x15_rates_come_as_fraction_percentage_or_word(
    changed: Changed, rate: str, category: str, percent: str | None
) -> None:
    result = changed("07-", ("<TaxRate>0.130000<", f"<TaxRate>{rate}<"))
    line = result.items[0].lines[1]
    assert (line.category, line.rate) == (category, None if percent is None else Decimal(percent))


@pytest.mark.parametrize("rate", ["13", "1.3", "-0.13", "abc"])
def test_x3_an_ambiguous_rate_is_refused(changed: Changed, rate: str) -> None:
    result = changed("07-", ("<TaxRate>0.130000<", f"<TaxRate>{rate}<"), strict=False)
    assert [issue.field for issue in result.errors] == ["lines[1].rate"]


def test_two_numbers_and_wrong_sums(changed: Changed) -> None:
    assert (
        changed("07-", ("<EIid>26322000000000200031", "<EIid>26322000000000200032")).errors[0].message == "two_numbers"
    )
    wrong = changed("07-", ("<TotalTax-includedAmount>10880.00", "<TotalTax-includedAmount>10880.01"))
    assert {issue.rule for issue in wrong.errors} == {"X16", "BR-CO-15"}


def test_gb18030_is_read(sample: Callable[[str], bytes]) -> None:
    text = sample("05-").decode().replace('encoding="utf-8"', 'encoding="GB2312"')
    assert read(text.encode("gb18030")).items == read(sample("05-")).items


@pytest.mark.parametrize(
    ("text", "fen"),
    [
        ("壹万零捌佰捌拾圆整", 1088000), ("壹亿贰仟万元正", 12000000000), ("拾圆整", 1000), ("零元伍分", 5),
        ("叁角", 30), ("负壹圆整", -100), ("（负数）玖佰柒拾叁圆伍角整", -97350), ("壹仟零壹圆零壹分", 100101),
        ("", None), ("圆", None), ("壹贰圆", None), ("hello", None), ("圆整" * 100, None), ("壹元贰", None),
    ],
)  # fmt: skip
def test_x16_words(text: str, fen: int | None) -> None:
    assert chinese_amount(text) == fen
