"""Code lists for the invoice rules, read once from `codes.toml` beside this file (X33)."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Final

_UNIT_FORM: Final = re.compile(r"[A-Z0-9]{2,3}")
_PACKAGE_FORM: Final = re.compile(r"X[A-Z0-9]{2}")
_EXEMPTION_FORM: Final = re.compile(r"VATEX-[A-Z]{2}(-[A-Z0-9][A-Z0-9.-]{0,30})?", re.IGNORECASE)
_ISO_6523_FORM: Final = re.compile(r"0[0-9]{3}")
_CHARGE_FORM: Final = re.compile(r"[A-Z]{2,3}")
_ITEM_CLASS_FORM: Final = re.compile(r"[A-Z]{2,3}")


@cache
def listed(name: str) -> frozenset[str]:
    """Return the codes of the list `name` of codes.toml."""
    table = tomllib.loads(files("finance").joinpath("codes.toml").read_text("utf-8"))
    return frozenset(str(table[name]).split())


def unit(code: str) -> bool | None:
    """Tell whether `code` is a unit: True if listed, None if only its form is right, False otherwise.

    Packaging units of Recommendation 21 carry an `X` in front of their two characters.
    """
    if code in listed("units"):
        return True
    return None if _UNIT_FORM.fullmatch(code) or _PACKAGE_FORM.fullmatch(code) else False


def exemption(code: str) -> bool:
    """Tell whether `code` has the form of a VATEX code (`VATEX-EU-132`)."""
    return _EXEMPTION_FORM.fullmatch(code) is not None


def iso_6523(code: str) -> bool:
    """Tell whether `code` has the form of an ISO 6523 identifier code."""
    return _ISO_6523_FORM.fullmatch(code) is not None


def charge_reason(code: str) -> bool:
    """Tell whether `code` has the form of a UNTDID 7161 charge code."""
    return _CHARGE_FORM.fullmatch(code) is not None


def item_class(code: str) -> bool:
    """Tell whether `code` has the form of a UNTDID 7143 item type code."""
    return _ITEM_CLASS_FORM.fullmatch(code) is not None
