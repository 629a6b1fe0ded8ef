"""Identifiers are judged by form and check digit, with a reason (X39)."""

from __future__ import annotations

import pytest

from finance.identifiers import Status, check, is_resident, known_scheme, normalise


@pytest.mark.parametrize(
    ("kind", "text", "status"),
    [
        ("uscc", "91320500MA26LF7K0B", Status.valid),
        ("uscc", "91320500MA26LF7K0C", Status.wrong_check_digit),
        ("uscc", "91320500MA26LF7KOB", Status.wrong_form),
        ("vat", "DE275183647", Status.valid),
        ("vat", "DE275183648", Status.wrong_check_digit),
        ("vat", "DE27518364", Status.wrong_form),
        ("vat", "CN91320500MA26LF7K0B", Status.unknown_scheme),
        ("iban", "NL13 RABO 0377 8155 00", Status.valid),
        ("iban", "NL14 RABO 0377 8155 00", Status.wrong_check_digit),
        ("bic", "RABONL2U", Status.valid),
        ("bic", "RABO", Status.wrong_form),
        ("gln", "4260123450014", Status.valid),
        ("gln", "4260123450015", Status.wrong_check_digit),
        ("0088", "426012345001", Status.wrong_form),
        ("lei", "529900T8BM49AURSDO55", Status.valid),
        ("lei", "529900T8BM49AURSDO56", Status.wrong_check_digit),
        ("rf", "RF18539007547034", Status.valid),
        ("rf", "RF19539007547034", Status.wrong_check_digit),
        ("gstin", "27AAPFU0939F1ZV", Status.valid),
        ("fapiao", "26322000000000100117", Status.valid),
        ("fapiao", "2632200000000010011", Status.wrong_form),
        ("9999", "anything", Status.unknown_scheme),
        ("iban", "NL13" + "0" * 100_000, Status.wrong_form),
        ("vat", "DE\N{FULLWIDTH DIGIT TWO}75183647", Status.valid),
        ("vat", "DE٢75183647", Status.wrong_form),
        ("iban", "", Status.wrong_form),
    ],
)
def test_x39_status(kind: str, text: str, status: Status) -> None:
    assert check(kind, text).status is status


def test_x39_normalised_but_never_guessed() -> None:
    assert normalise(" de 275-183.647 ") == "DE275183647"
    assert check("0199", "529900t8bm49aursdo55").kind == "lei"


def test_f3_a_natural_person_is_recognised() -> None:
    assert is_resident("11010519491231002X")
    assert not is_resident("110105194912310021")
    assert not is_resident("91320500MA26LF7K0B")


def test_endpoint_schemes() -> None:
    assert known_scheme("0088") and known_scheme("9930") and not known_scheme("1234")
