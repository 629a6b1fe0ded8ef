"""The people of a home: who signs for which roles, and files that are damaged or open to others (S16, S36, F11)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.wallet import PEOPLE_FILE, Wallet
from tests.cli.conftest import Done

PEOPLE = """company_id = "c-acme"
[[person]]
label = "anna"
user_id = "u1"
roles = ["preparer", "approver"]
key = "people/anna.json"
[[person]]
label = "ben"
user_id = "u2"
roles = ["preparer"]
key = "people/ben.json"
[[person]]
label = "cleo"
user_id = "u3"
roles = ["treasurer"]
key = "people/cleo.json"
"""


@pytest.fixture
def wallet(tmp_path: Path) -> Wallet:
    (tmp_path / PEOPLE_FILE).write_text(PEOPLE, encoding="utf-8")
    return Wallet(tmp_path)


def labels(wallet: Wallet, roles: list[str], *named: str) -> list[str]:
    return [person.label for person in wallet.choose(roles, named)]


def test_f11_maker_and_checker_are_two_persons_even_when_one_holds_both_roles(wallet: Wallet) -> None:
    assert labels(wallet, ["preparer", "approver"]) == ["ben", "anna"], "anna alone can approve, so ben prepares"
    assert labels(wallet, ["preparer"]) == ["anna"]
    with pytest.raises(CommandFailed) as refused:
        wallet.choose(["approver", "approver"])
    assert refused.value.code is Exit.NOT_ALLOWED and "--generate-only" in refused.value.next_step


def test_who_is_named_signs_or_nobody_does(wallet: Wallet) -> None:
    assert labels(wallet, ["preparer"], "ben") == ["ben"]
    assert labels(wallet, ["preparer"], "u2") == ["ben"]
    assert labels(wallet, ["preparer", "approver"], "anna") == ["ben", "anna"]
    assert labels(wallet, ["preparer", "approver"], "anna", "ben", "anna") == ["ben", "anna"]
    for roles, named in ((["treasurer"], ["ben"]), (["preparer"], ["anna", "ben"]), (["approver"], ["anna", "cleo"])):
        with pytest.raises(CommandFailed) as refused:
            wallet.choose(roles, named)
        assert refused.value.code is Exit.NOT_ALLOWED
        assert all(name in refused.value.text for name in named) and roles[0] in refused.value.text


def test_an_unknown_name_is_refused_with_those_that_are_known(wallet: Wallet) -> None:
    with pytest.raises(CommandFailed) as refused:
        wallet.choose(["preparer"], ["dora"])
    assert refused.value.code is Exit.USAGE and "anna, ben, cleo" in refused.value.next_step


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"company_id = 5", b'company_id = "c"', b'company_id = "c"\nperson = "anna"',
     b'company_id = "c"\n[[person]]\nlabel = "a"', b"company_id = ", b"\x00" * 10],
)  # fmt: skip
def test_a_damaged_list_of_people_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PEOPLE_FILE).write_bytes(content)
    with pytest.raises(CommandFailed) as refused:
        Wallet(tmp_path)
    assert refused.value.code is Exit.USAGE and PEOPLE_FILE in refused.value.text and refused.value.next_step


def test_a_folder_without_people_is_no_home(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as refused:
        Wallet(tmp_path / "nowhere")
    assert "hansa init" in refused.value.next_step


@pytest.fixture
def own(home: Path, tmp_path: Path) -> Path:
    """A copy of the people of a founded company, to be damaged."""
    for name in ("people", PEOPLE_FILE, "people.secret"):
        source = home / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / name)
    (tmp_path / "people").chmod(0o700)
    return tmp_path


def test_a_key_opens_with_the_secret_beside_it_and_is_the_one_that_is_listed(
    own: Path, command: Callable[..., Done]
) -> None:
    wallet = Wallet(own)
    shown = command("key", "show", "clerk", "--home", str(own), "-o", "json").json()
    assert wallet.key(wallet.named("clerk")).public_key.hex() == shown["public"]


def damage(own: Path, how: str) -> None:
    key, secret = own / Wallet(own).named("clerk").key, own / "people.secret"
    match how:
        case "gone":
            key.unlink()
        case "open to others":
            key.chmod(0o644)
        case "cut":
            key.write_bytes(key.read_bytes()[:100])
        case "not JSON":
            key.write_bytes(b"\xff" * 64)
        case "other secret":
            secret.write_text("11" * 32)
        case "secret open to others":
            secret.chmod(0o640)
        case "secret empty":
            secret.write_text("")
        case "secret is a link":
            secret.rename(own / "elsewhere")
            secret.symlink_to(own / "elsewhere")


@pytest.mark.parametrize(
    "how",
    ["gone", "open to others", "cut", "not JSON", "other secret", "secret open to others", "secret empty",
     "secret is a link"],
)  # fmt: skip
def test_a_key_that_does_not_open_is_named_with_the_fix(own: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HANSA_KEY_FILE", raising=False)
    damage(own, how)
    wallet = Wallet(own)
    with pytest.raises(CommandFailed) as refused:
        wallet.key(wallet.named("clerk"))
    assert refused.value.code is Exit.NOT_ALLOWED
    assert str(own) in refused.value.text and refused.value.next_step


def test_u15_without_a_secret_and_a_terminal_the_variable_that_helps_is_named(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = own / "people.secret"
    secret.rename(own / "moved")
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115  # closed with the process
    wallet = Wallet(own)
    with pytest.raises(CommandFailed) as refused:
        wallet.key(wallet.named("clerk"))
    assert refused.value.code is Exit.USAGE and "HANSA_KEY_FILE" in refused.value.next_step
    monkeypatch.setenv("HANSA_KEY_FILE", str(own / "moved"))
    assert wallet.key(wallet.named("clerk"))
