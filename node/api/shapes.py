"""How values look in JSON (U24): money as text and currency, times in RFC 3339, ids as opaque texts.

One number formatter for list, detail, page and API (F86): `ledger.money.format_minor`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Protocol

from ledger.money import CurrencyTable, format_minor
from ledger.receipt import Receipt
from node.access.feed import PARTY

_RATE: Final = "rate("
"""How the name of a rate's type begins; the places follow."""


class Field(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> Any: ...


def money(value: Sequence[Any], currencies: CurrencyTable) -> dict[str, str]:
    """Return a wire amount [code, minor] as {"amount": "1234.50", "currency": "EUR"}."""
    code, minor = str(value[0]), int(value[1])
    return {"amount": format_minor(minor, currencies.get(code, 2)), "currency": code}


def amount(minor: int, code: str, currencies: CurrencyTable) -> dict[str, str]:
    """Return minor units of a currency in the same form."""
    return money((code, minor), currencies)


def rate(parts: int, places: int) -> str:
    """Return a rate, kept as whole parts of 10**-places, in percent: 750 with four places is "7.50%".

    Commands take this form as an argument.
    """
    if places < 2:
        parts, places = parts * 10 ** (2 - places), 2
    return f"{format_minor(parts, places - 2)}%"


def instant(milliseconds: int) -> str | None:
    """Return UTC milliseconds as RFC 3339 with milliseconds, or None for 0 (never)."""
    if not milliseconds:
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ledger_day(time_ms: int, utc_offset_min: int) -> str:
    """Return the ledger's calendar day of a moment, as ISO date (F6)."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms, minutes=utc_offset_min)
    return moment.date().isoformat()


def days_between(first: str, second: str) -> int:
    """Return `second` minus `first` in days; both are ISO dates."""
    return (date.fromisoformat(second) - date.fromisoformat(first)).days


def company(company_id: str, names: Mapping[str, str]) -> dict[str, str]:
    """Return a company as id and directory name; the id stands in for a missing name."""
    return {"id": company_id, "name": names.get(company_id, company_id)}


def person(user_id: str, company_id: str, people: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Return a signer: the private label for people of the own company, otherwise the bare id."""
    return {
        "user": user_id,
        "label": people.get(user_id, ""),
        "company": company_id,
        "company_name": names.get(company_id, company_id),
    }


def plain(value: Any) -> Any:
    """Return a wire value for JSON: bytes become hex, tuples lists."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def abort(receipt: Receipt, *, text: bool = True) -> dict[str, Any] | None:
    """Return why a receipt failed, None if it did not; its words name values of rows, so `text` may leave them out."""
    if not receipt.abort:
        return None
    why = receipt.abort[0]
    return {
        "code": why.code,
        "reason": why.reason,
        "contract": why.contract,
        "version": why.version,
        "line": why.line,
        "text": why.text if text else "",
    }


def typed(
    fields: Sequence[Field], values: Mapping[str, Any], currencies: CurrencyTable, names: Mapping[str, str]
) -> dict[str, Any]:
    """Return named wire values by the declared types: money, rates and companies get their public form."""
    shown: dict[str, Any] = {}
    for field in fields:
        value = values.get(field.name)
        kind = str(field.type).removesuffix("?")
        if kind == "money" and isinstance(value, list | tuple):
            shown[field.name] = money(value, currencies)
        elif kind == PARTY and isinstance(value, str):
            shown[field.name] = company(value, names)
        elif kind.startswith(_RATE) and isinstance(value, int):
            shown[field.name] = rate(value, int(kind[len(_RATE) : -1]))
        else:
            shown[field.name] = plain(value)
    return shown
