"""Both catalogues are complete, say the same parts, and hold every text the pages ask for (U57, F86)."""

from __future__ import annotations

import re
import string
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import node.web
from contracts.library import sources
from contracts.runtime import program
from ledger.money import ISO_4217
from ledger.registry.records import COMPANY_ROLES, PEOPLE_ROLES
from node.api.business import _ROLES_FOR
from node.api.routes import DERIVED_STATES, DOCUMENT_STATES, PAYMENT_PHASES
from node.web.texts import LANGUAGES, MissingText, catalogue, texts

WEB = Path(node.web.__file__).parent
TEMPLATES = sorted((WEB / "templates").glob("*.html"))


def parts(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_files_have_the_same_ids_in_the_same_order() -> None:
    english, chinese = texts("en"), texts("zh-CN")
    assert list(english) == list(chinese)
    for key, text in english.items():
        assert parts(text) == parts(chinese[key]), key
        assert text and chinese[key]


def test_no_chinese_text_was_left_in_english() -> None:
    same = [key for key, text in texts("en").items() if texts("zh-CN")[key] == text and re.search("[a-z]{3}", text)]
    assert same == []


def test_counted_texts_come_in_both_forms() -> None:
    for language in LANGUAGES:
        keys = set(texts(language))
        for key in keys:
            stem, _, form = key.rpartition(".")
            if form in ("one", "other"):
                assert {f"{stem}.one", f"{stem}.other"} <= keys


@pytest.mark.parametrize("template", TEMPLATES, ids=[path.name for path in TEMPLATES])
def test_every_text_a_template_names_exists(template: Path) -> None:
    source = template.read_text("utf-8")
    known = set(texts("en"))
    for key in re.findall(r"\bt\('([a-z_.0-9-]+)'[,)]", source):
        assert key in known, key
    for key in re.findall(r"\bt\.counted\('([a-z_.]+)'", source):
        assert {f"{key}.one", f"{key}.other"} <= known, key
    for prefix in re.findall(r"\bt\('([a-z_]+\.)' \+", source):
        assert any(key.startswith(prefix) for key in known), prefix


@pytest.mark.parametrize("template", TEMPLATES, ids=[path.name for path in TEMPLATES])
def test_no_hard_coded_words_in_templates(template: Path) -> None:
    """What stays after markup and expressions are gone has no words but names (the pseudo-locale check)."""
    source = template.read_text("utf-8")
    for pattern in (r"\{#.*?#\}", r"\{%.*?%\}", r"\{\{.*?\}\}", r"<code>.*?</code>", r"<[^>]*>", r"&[a-z]+;"):
        source = re.sub(pattern, " ", source, flags=re.S)
    words = set(re.findall(r"[A-Za-z]{2,}", source))
    assert words <= {"Hansa", "CSV", "HTTP", "html", "doctype"}, words


@pytest.mark.control("S50", "T38")
@pytest.mark.parametrize("template", TEMPLATES, ids=[path.name for path in TEMPLATES])
def test_s50_templates_have_no_inline_code_and_no_safe_filter(template: Path) -> None:
    source = template.read_text("utf-8")
    assert not re.search(r"\|\s*safe\b|Markup|autoescape", source)
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:|hx-on|hx-vals|js:", source, re.I)
    for tag in re.findall(r"<script[^>]*>", source):
        assert "src=" in tag and "integrity=" in tag
    assert all(not body.strip() for body in re.findall(r"<script[^>]*>(.*?)</script>", source, re.S))


def test_every_closed_word_has_its_text() -> None:
    known = set(texts("en"))
    wanted = [f"status.{state}" for state in DERIVED_STATES]
    wanted += [f"document.{state}" for state in DOCUMENT_STATES]
    wanted += [f"phase.{phase}" for phase in PAYMENT_PHASES]
    wanted += [f"role.{role}" for role in PEOPLE_ROLES] + [f"company_role.{role}" for role in COMPANY_ROLES]
    wanted += [f"next.{act}" for act in _ROLES_FOR if act not in ("release", "confirm")]
    wanted += [f"{kind}.{act}" for act in _ROLES_FOR if act != "pay_under_way" for kind in ("act", "others")]
    assert [key for key in wanted if key not in known] == []


def test_f2_every_event_and_state_of_the_library_has_a_sentence() -> None:
    faces = program(sources(), dict(ISO_4217)).interfaces
    for contract, face in faces.items():
        for name, event in face.events.items():
            key = f"event.{contract}.{name}"
            for language in LANGUAGES:
                assert parts(texts(language)[key]) <= {field.name for field in event.fields}, key
    known = set(texts("en"))
    assert {f"phase.{phase}" for phase in faces["payments"].enums["Phase"]} <= known
    assert {f"case.{state}" for state in faces["invoices"].enums["CaseState"]} <= known


def test_dates_are_written_as_people_write_them() -> None:
    english, chinese = catalogue("en"), catalogue("zh-CN")
    assert english.day("2026-03-05") == "5 Mar 2026" and chinese.day("2026-03-05") == "2026年3月5日"
    assert english.day(None) == "–" and english.moment("2026-03-05T08:41:02.000Z") == "5 Mar 2026 08:41:02 UTC"
    assert catalogue("fr").language == "en"


def test_a_missing_text_is_our_bug() -> None:
    with pytest.raises(MissingText):
        catalogue("en")("no.such.text")
    with pytest.raises(MissingText):
        catalogue("en")("block.title")


def test_catalogues_and_templates_are_package_data() -> None:
    for name in ("locales/en.json", "locales/zh-CN.json", "templates/frame.html", "static/hansa.css"):
        found: Any = files("node.web").joinpath(*name.split("/"))
        assert found.is_file()
