"""Which of the two languages human text is in: HANSA_LANG, then the locale (U17). Codes and JSON never change."""

from __future__ import annotations

import os
from collections.abc import Mapping

LANGUAGES = ("en", "zh-CN")


def chosen() -> str:
    """Return `zh-CN` or `en`."""
    wanted = os.environ.get("HANSA_LANG") or os.environ.get("LC_ALL") or os.environ.get("LANG") or "en"
    return "zh-CN" if wanted.lower().startswith("zh") else "en"


def text(names: Mapping[str, str]) -> str:
    """Return the text of the chosen language."""
    return names.get(chosen()) or names.get("en", "")
