"""From data to HTML: the Jinja environment, the number formatter of pages, and plain-word sentences (U52-U55).

Autoescape is on for every template and nothing from outside is ever marked safe (S50). The only markup made in
Python is that of amounts and hashes, from values of closed form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import jinja2
from markupsafe import Markup, escape

from node.sentences import named, names_in
from node.web import static
from node.web.aborts import aborted
from node.web.texts import LANGUAGES, NAMES, Catalogue, catalogue

MINUS: Final = "\u2212"
_DAY: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-[0-9]{2}", re.ASCII)


@cache
def environment() -> jinja2.Environment:
    """Return the one environment; templates are package data and are compiled once."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("node.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters.update(
        money=money, plain_money=plain_money, short=short, digest=digest, grouped=grouped, commands=commands
    )
    found.globals.update(
        aborted=aborted,
        named=named,
        names_in=names_in,
        asset=static.address,
        integrity=static.locked_integrity,
        languages=[(code, NAMES[code]) for code in LANGUAGES],
    )
    return found


def page(template: str, language: str, **data: Any) -> str:
    """Return a rendered template with the texts of a language as `t`."""
    return environment().get_template(template).render(t=catalogue(language), lang=language, **data)


def grouped(amount: str) -> str:
    """Return an amount with thousands separated and a real minus sign (F86).

    >>> grouped("-1234567.50"), grouped("0.005"), grouped("999")
    ('\u22121,234,567.50', '0.005', '999')
    """
    sign, digits = (MINUS, amount[1:]) if amount.startswith("-") else ("", amount)
    whole, point, decimals = digits.partition(".")
    return f"{sign}{int(whole):,}{point}{decimals}"


def plain_money(value: Mapping[str, str] | None) -> str:
    """Return an amount as text for sentences: 1,234.50 EUR."""
    return "–" if value is None else f"{grouped(value['amount'])} {value['currency']}"


def money(value: Mapping[str, str] | None, *, unit: bool = True) -> Markup:
    """Return an amount as markup: tabular figures, currency set apart, negative ones marked twice (U52)."""
    if value is None:
        return Markup('<span class="money none">–</span>')
    text = grouped(value["amount"])
    kind = "money neg" if text.startswith(MINUS) else "money zero" if _is_zero(value["amount"]) else "money"
    if not unit:
        return Markup('<span class="{}">{}</span>').format(kind, text)
    return Markup('<span class="{}">{} <abbr>{}</abbr></span>').format(kind, text, value["currency"])


def _is_zero(amount: str) -> bool:
    return not amount.strip("0.")


def short(text: str, length: int = 10) -> str:
    """Return the beginning of an id or hash."""
    return text if len(text) <= length + 2 else text[:length] + "…"


def digest(text: str) -> Markup:
    """Return a hash or id in full, breakable, in a fixed-width face."""
    return Markup('<code class="hash">{}</code>').format(escape(text))


def commands(text: str) -> Markup:
    """Return a sentence whose parts between backticks are set as commands.

    >>> commands("run `hansa doctor` <there>")
    Markup('run <code>hansa doctor</code> &lt;there&gt;')
    """
    parts = [str(escape(part)) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>" if place % 2 and place < len(parts) - 1 else "{}").format(Markup(part))  # noqa: S704  # escaped above
        for place, part in enumerate(parts)
    )


def event_sentence(t: Catalogue, moment: Mapping[str, Any]) -> str:
    """Return what an event says in plain words (U55); an event without a sentence is shown by its name."""
    key = f"event.{moment['event']}"
    parts = {name: _part(t, name, value) for name, value in moment["fields"].items()}
    if not t.has(key) or not t.names(key) <= parts.keys():  # companies may vote for an event with other fields (L61)
        return str(moment["event"])
    return t(key, **parts)


def _part(t: Catalogue, name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        if "amount" in value:
            return plain_money(value)
        return str(value.get("name", ""))
    if name == "reason":
        return t.reason(str(value))
    if isinstance(value, str) and _DAY.fullmatch(value):
        return t.day(value)
    return str(value)
