"""Which node a command talks to: flags, environment, file, in this order; and a file that holds secrets (U5, U7)."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.profile import FILE_NAME, Profile, Session, choose, config_directory, load_profiles, remember, save_profiles
from tests.cli.conftest import Done

ACME = Profile(name="acme", api="https://a:1", token="hansa_a_1", home="/acme", ca_file="/acme/api.crt")
BOLT = Profile(name="bolt", api="https://b:1", token="hansa_b_1", home="/bolt")


@pytest.fixture(autouse=True)
def alone(command: Callable[..., Done]) -> None:
    """Every test here has its own configuration folder."""


def test_profiles_come_back_as_they_were_saved_and_only_their_owner_reads_them() -> None:
    odd = Profile(name='a "b"\\c.ü', api="https://c:1", token='t"\\', home="/with space")
    path = save_profiles("acme", {profile.name: profile for profile in (ACME, BOLT, odd)})
    assert load_profiles() == ("acme", {"acme": ACME, "bolt": BOLT, odd.name: odd})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_remembering_keeps_the_others_and_makes_it_current() -> None:
    remember({"acme": ACME}, "acme")
    remember({"bolt": BOLT}, "bolt")
    assert load_profiles() == ("bolt", {"acme": ACME, "bolt": BOLT})


def test_u5_flag_before_environment_before_file(monkeypatch: pytest.MonkeyPatch) -> None:
    save_profiles("acme", {"acme": ACME, "bolt": BOLT})
    assert choose(None, None, None, None) == ACME
    monkeypatch.setenv("HANSA_PROFILE", "bolt")
    assert choose(None, None, None, None) == BOLT
    assert choose("acme", None, None, None) == ACME
    for name in ("API", "TOKEN", "HOME"):
        monkeypatch.setenv(f"HANSA_{name}", f"environment {name}")
    found = choose("acme", None, None, None)
    assert (found.api, found.token, found.home) == ("environment API", "environment TOKEN", "environment HOME")
    found = choose("acme", "x", "y", "z")
    assert (found.api, found.token, found.home, found.ca_file) == ("x", "y", "z", ACME.ca_file)


def test_a_profile_that_does_not_exist_is_refused_with_what_is_near() -> None:
    save_profiles("acme", {"acme": ACME, "bolt": BOLT})
    with pytest.raises(CommandFailed) as refused:
        choose("acm", None, None, None)
    assert refused.value.code is Exit.USAGE
    assert "'acm'" in refused.value.text and "did you mean 'acme'" in refused.value.next_step


@pytest.mark.parametrize(
    "content",
    [b"current = ", b"\xff\xfe", b"[profile.a", b'current = "a"\ncurrent = "b"'],
)
def test_a_damaged_file_is_named_and_not_overwritten(command: Callable[..., Done], content: bytes) -> None:
    path = config_directory() / FILE_NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    done = command("invoice", "list")
    assert done.code == Exit.USAGE and str(path) in done.err and "correct or remove" in done.err
    with pytest.raises(CommandFailed):
        remember({"acme": ACME}, "acme")
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "content", ['profile = "x"', "profile = 3", '[profile]\nacme = "x"', "current = 5\nprofile = []"]
)
def test_odd_content_is_no_profile_and_no_crash(content: str) -> None:
    path = config_directory() / FILE_NAME
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    assert load_profiles()[1] == {}
    assert choose(None, None, None, None).api == ""


def test_a_folder_that_cannot_be_written_is_named_with_the_variable_that_helps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with pytest.raises(CommandFailed) as refused:
        save_profiles("acme", {"acme": ACME})
    assert refused.value.code is Exit.FAILED and "XDG_CONFIG_HOME" in refused.value.next_step


def test_without_any_profile_the_home_that_init_made_is_used(command: Callable[..., Done]) -> None:
    assert choose(None, None, None, None).home == ""
    made = command("init", "Acme", "--development", "-o", "json")
    assert made.code == 0, made.err
    assert choose(None, None, None, None).home == made.json()["home"]
    assert choose(None, "https://elsewhere:1", None, None).home == "", "another node may be of another company"
    save_profiles("acme", {"acme": ACME})
    assert choose(None, None, None, None).home == ACME.home


def test_a_session_refuses_what_it_lacks_and_says_how_to_give_it() -> None:
    session = Session(profile=Profile(name="", api="", token="", home=""), output="table", timeout_s=1)
    for call in (session.client, session.wallet):
        with pytest.raises(CommandFailed) as refused:
            call()
        assert refused.value.code is Exit.USAGE and refused.value.next_step


def test_a_named_home_means_its_own_node_and_not_the_current_one(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save_profiles("acme", {"acme": ACME})
    found = choose(None, None, None, str(home))
    assert found.api.startswith("http://127.0.0.1:239") and (found.token, found.home) == ("", str(home))
    own = Profile(name="own", api="https://own:1", token="hansa_o_1", home=str(home))
    remember({"own": own}, "acme")
    assert choose(None, None, None, str(home)) == own, "a remembered token of that node is used"
    monkeypatch.setenv("HANSA_HOME", str(home))
    assert choose(None, None, None, None) == own
    assert choose("acme", None, None, None).api == ACME.api, "a named profile is meant"
    assert choose(None, "https://x:1", None, None).api == "https://x:1"
    assert choose(None, None, None, str(tmp_path)).api == ACME.api, "people without a node act through the current one"
