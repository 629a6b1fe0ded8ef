"""Vendored files are those of the lock, assets are cached by hash, and the first load stays small (U50, U54)."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from node.web import static

ROOT = Path(static.__file__).resolve().parents[2]
VENDOR = Path(static.__file__).parent / "static" / "vendor"
CSS = static.asset("hansa.css").content.decode("utf-8")


@pytest.mark.control("T58", "S118")
def test_u50_vendored_files_match_the_lock() -> None:
    script = ROOT / "scripts" / "vendor.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_u50_the_lock_names_version_licence_and_hash() -> None:
    import json

    lock = json.loads((VENDOR / "vendor.lock.json").read_text("utf-8"))
    for package in lock["packages"]:
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"]) and package["licence"]
        assert package["integrity"].startswith("sha512-")
        for file in package["files"]:
            assert file["sha384"] == static.asset(f"vendor/{file['file']}").integrity


def test_u54_the_first_load_is_below_100_kb() -> None:
    total = sum(
        len(gzip.compress(static.asset(name).content))
        for name in static.FILES
        if name.endswith((".js", ".css", ".svg"))
    )
    assert total < 40_000


async def test_assets_are_served_by_name_only(trade: Any, visit: Any) -> None:
    client = await visit(trade, role="")
    for name in static.FILES:
        answer = await client.get(static.address(name))
        assert answer.status == 200 and "immutable" in answer.headers["Cache-Control"], name
        assert await answer.read() == static.asset(name).content
    plain = await client.get("/static/hansa.css")
    assert plain.headers["Cache-Control"] == "no-cache"
    same = await client.get("/static/hansa.css", headers={"If-None-Match": plain.headers["ETag"]})
    assert same.status == 304
    for name in ("../pages.py", "%2e%2e/pages.py", "vendor/../../pages.py", "nothing.css", "vendor"):
        assert (await client.get(f"/static/{name}")).status == 404


def colours(scheme: str) -> dict[str, str]:
    """Return the custom properties of the light or the dark scheme."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.S)
    chosen = blocks[0] if scheme == "light" else blocks[0] + blocks[1]
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", chosen))


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_u52_text_has_enough_contrast(scheme: str) -> None:
    palette = colours(scheme)
    for ink in ("ink", "quiet", "accent", "bad", "warn", "good"):
        for ground in ("paper", "card"):
            assert contrast(palette[ink], palette[ground]) >= 4.5, (ink, ground)
    for name in ("accent", "good", "warn", "bad"):
        assert contrast(palette[name], palette[f"{name}-soft"]) >= 4.5, name
    assert contrast(palette["accent-ink"], palette["accent"]) >= 4.5
    for ground in ("paper", "card"):
        assert contrast(palette["focus"], palette[ground]) >= 3, "the focus ring is seen"


def test_the_style_sheet_knows_dark_print_small_screens_and_less_motion() -> None:
    for query in ("prefers-color-scheme: dark", "@media print", "max-width: 42rem", "prefers-reduced-motion"):
        assert query in CSS
    assert "@import" not in CSS and "url(" not in CSS
