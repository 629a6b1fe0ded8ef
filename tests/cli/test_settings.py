"""`hansa profile` and `hansa config`: what is remembered, what the node would start with, and from where (U5, U7)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.profile import Profile, load_profiles, remember
from simulator.cluster.plan import Plan
from tests.cli.conftest import Done

SECRET = "hansa_acme-books_0123456789abcdef"


@pytest.fixture
def known(command: Callable[..., Done]) -> Callable[..., Done]:
    for name in ("acme", "bolt"):
        remember({name: Profile(name=name, api="http://127.0.0.1:7400", token=SECRET, home=f"/srv/{name}")}, name)
    return command


def test_u5_profiles_are_listed_without_their_secrets_and_one_is_current(known: Callable[..., Done]) -> None:
    done = known("profile", "list", "-o", "json")
    found = done.json()
    assert (found["schema"], found["current"]) == ("hansa.profiles/1", "bolt")
    assert [(item["name"], item["current"], item["token"]) for item in found["items"]] == [
        ("acme", False, "hansa_acme-books"),
        ("bolt", True, "hansa_acme-books"),
    ]
    assert "0123456789abcdef" not in done.out + done.err + known("profile", "list").out, "U7"


def test_u5_use_makes_another_profile_current_and_forget_removes_one(known: Callable[..., Done]) -> None:
    assert known("profile", "use", "acme").code == 0
    assert load_profiles()[0] == "acme"
    assert known("profile", "forget", "acme").code == 0
    current, left = load_profiles()
    assert (current, list(left)) == ("", ["bolt"])
    done = known("profile", "use", "bol", "-o", "json")
    assert (done.code, done.out) == (3, "") and "did you mean 'bolt'?" in done.problem()["next"]


def test_without_a_profile_the_list_says_how_to_get_one(command: Callable[..., Done]) -> None:
    done = command("profile", "list")
    assert (done.code, done.out) == (0, "") and "hansa login" in done.err


def test_u5_config_shows_every_value_with_the_source_that_won(
    founded: tuple[Path, Plan], command: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "acme"
    shutil.copytree(founded[0] / "lifeng", home)
    monkeypatch.setenv("HANSA_STORAGE_KEEP_BLOCKS", "77")
    items = {item["key"]: item for item in command("config", "show", "--home", str(home), "-o", "json").json()["items"]}
    assert items["storage.keep_blocks"]["value"] == 77
    assert "HANSA_STORAGE_KEEP_BLOCKS" in items["storage.keep_blocks"]["source"]
    assert items["node.company"]["source"] == str(home / "node.toml")
    assert items["storage.keep_days"] == {"key": "storage.keep_days", "value": 0, "source": "default"}
    done = command("config", "explain", "storage.keep_blocks", "--home", str(home))
    assert done.out.splitlines()[1] == "value\t77"
    done = command("config", "explain", "storage.keep_block", "--home", str(home), "-o", "json")
    assert done.code == 3 and "storage.keep_blocks" in done.problem()["next"]


def test_u5_config_check_names_file_key_and_fix(command: Callable[..., Done], tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[node]\ndata_dir = "data"\n')
    bad.write_text('[node]\ndata_dir = "data"\n[storage]\nkeep_days = -1\n')
    done = command("config", "check", str(good))
    assert done.code == 0 and done.out.startswith(f"{good} holds: 1 values of its own")
    done = command("config", "check", str(bad), "-o", "json")
    assert done.code == 2 and str(bad) in done.problem()["detail"] and "storage.keep_days" in done.problem()["detail"]
