"""Checks of registered identifiers: form and check digit, never a look-up in a register (X39).

The result says what is wrong, not only that something is. Text is normalised first (NFKC, separators out,
upper case) and bounded before any check sees it; the original text stays in the model.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any, Final

from stdnum import bic as _bic
from stdnum import ean as _ean
from stdnum import iban as _iban
from stdnum import iso11649 as _rf
from stdnum import lei as _lei
from stdnum.cn import ric as _ric
from stdnum.cn import uscc as _uscc
from stdnum.exceptions import InvalidChecksum, InvalidComponent, ValidationError
from stdnum.in_ import gstin as _gstin

from finance import codes

LENGTH_MAX: Final = 64
"""Characters of any identifier; the longest known ones have 35."""

_SEPARATORS: Final = re.compile(r"[\s.\-/,:_]")
_FAPIAO: Final = re.compile(r"[0-9]{20}|[0-9]{18}")
_DIGITS_13: Final = re.compile(r"[0-9]{13}")
_VAT_FORM: Final = re.compile(r"[A-Z]{2}[0-9A-Z+*]{2,13}")


class Status(StrEnum):
    """Outcome of a check; `unknown_scheme` means that nobody here can judge."""

    valid = "valid"
    wrong_check_digit = "wrong_check_digit"
    wrong_form = "wrong_form"
    unknown_scheme = "unknown_scheme"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """`value` is the normalised text; `kind` names what it was checked as."""

    kind: str
    value: str
    status: Status


def normalise(text: str) -> str:
    """Return `text` without separators, in upper case, NFKC.

    >>> normalise("nl13 rabo 0377 8155 00")
    'NL13RABO0377815500'
    """
    return _SEPARATORS.sub("", unicodedata.normalize("NFKC", text)).upper()


def check(kind: str, text: str) -> Checked:
    """Check `text` as `kind`: uscc, lei, vat, gstin, iban, bic, rf, gln, fapiao or an ISO 6523 code."""
    value = normalise(text)
    kind = _BY_SCHEME.get(kind, kind)
    validate = _VALIDATORS.get(kind)
    if validate is None:
        return Checked(kind=kind, value=value, status=Status.unknown_scheme)
    if not value or len(value) > LENGTH_MAX or not value.isascii():
        return Checked(kind=kind, value=value, status=Status.wrong_form)
    return Checked(kind=kind, value=value, status=validate(value))


def known_scheme(code: str) -> bool:
    """Tell whether `code` may stand on an electronic address."""
    return code in codes.listed("endpoint_schemes")


def is_resident(text: str) -> bool:
    """Tell whether `text` is the number of a natural person in China: it must stay out of control fields (F3)."""
    value = normalise(text)
    if len(value) != 18 or not value.isascii() or _run(_uscc.validate, value) is Status.valid:
        return False
    return _run(_ric.validate, value) is Status.valid


def _run(validate: Callable[[str], Any], value: str) -> Status:
    """Translate the exceptions of the library; a component is a part such as a country or a date."""
    try:
        validate(value)
    except InvalidChecksum:
        return Status.wrong_check_digit
    except (InvalidComponent, ValidationError):
        return Status.wrong_form
    return Status.valid


def _gln(value: str) -> Status:
    return _run(_ean.validate, value) if _DIGITS_13.fullmatch(value) else Status.wrong_form


def _fapiao(value: str) -> Status:
    return Status.valid if _FAPIAO.fullmatch(value) else Status.wrong_form


_VAT_MODULES: Final = {
    "AT": "at.uid", "BE": "be.vat", "BG": "bg.vat", "CY": "cy.vat", "CZ": "cz.dic", "DE": "de.vat", "DK": "dk.cvr",
    "EE": "ee.kmkr", "EL": "gr.vat", "ES": "es.nif", "FI": "fi.alv", "FR": "fr.tva", "GB": "gb.vat", "GR": "gr.vat",
    "HR": "hr.oib", "HU": "hu.anum", "IE": "ie.vat", "IT": "it.iva", "LT": "lt.pvm", "LU": "lu.tva", "LV": "lv.pvn",
    "MT": "mt.vat", "NL": "nl.btw", "PL": "pl.nip", "PT": "pt.nif", "RO": "ro.cf", "SE": "se.vat", "SI": "si.ddv",
    "SK": "sk.dph", "XI": "gb.vat",
}  # fmt: skip


def _vat(value: str) -> Status:
    """Check a VAT number by the rules of the country of its prefix; other countries have no common rule.

    The module of a country is loaded when its first number is checked: there are thirty.
    """
    name = _VAT_MODULES.get(value[:2])
    if name is None:
        return Status.unknown_scheme
    if _VAT_FORM.fullmatch(value) is None:
        return Status.wrong_form
    return _run(import_module(f"stdnum.{name}").validate, value[2:])


_VALIDATORS: Final[dict[str, Callable[[str], Status]]] = {
    "uscc": lambda value: _run(_uscc.validate, value),
    "lei": lambda value: _run(_lei.validate, value),
    "gstin": lambda value: _run(_gstin.validate, value),
    "iban": lambda value: _run(_iban.validate, value),
    "bic": lambda value: _run(_bic.validate, value),
    "rf": lambda value: _run(_rf.validate, value),
    "gln": _gln,
    "vat": _vat,
    "fapiao": _fapiao,
}

_BY_SCHEME: Final = {"0088": "gln", "0199": "lei", "9914": "vat"}
"""ISO 6523 and EAS codes whose values have a check of their own here."""
