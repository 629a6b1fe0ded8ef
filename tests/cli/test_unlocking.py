"""Secrets on the command line: from a file or a prompt, never from the line itself, and never asked in vain (S37, U15)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import unlocking
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from node.identity.unlock import Passphrase, Secret
from tests.cli.conftest import Done, leaves


class Terminal(io.StringIO):
    """Standard input where somebody sits."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sit at a terminal and type these lines when asked."""

    def sit(*lines: str) -> None:
        waiting: Iterator[str] = iter(lines)
        monkeypatch.setattr("sys.stdin", Terminal())
        monkeypatch.setattr(unlocking, "getpass", lambda prompt: next(waiting))

    return sit


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HANSA_KEY_FILE", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())


def secret_file(path: Path, content: bytes = b"ab" * 32 + b"\n", mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_file_holds_a_secret_or_a_passphrase(tmp_path: Path) -> None:
    assert unlocking.from_file(secret_file(tmp_path / "a")) == Secret(bytes.fromhex("ab" * 32))
    assert unlocking.from_file(secret_file(tmp_path / "b", b"correct horse battery\n")) == Passphrase(
        "correct horse battery"
    )


@pytest.mark.parametrize(
    ("content", "mode"),
    [(b"", 0o600), (b"\xff" * 40, 0o600), (b"x" * 5000, 0o600), (b"ab" * 32, 0o644), (b"ab" * 32, 0o660)],
)
def test_a_file_that_is_no_secret_is_refused_by_name(tmp_path: Path, content: bytes, mode: int) -> None:
    path = secret_file(tmp_path / "secret", content, mode)
    with pytest.raises(CommandFailed) as refused:
        unlocking.from_file(path)
    assert refused.value.code is Exit.NOT_ALLOWED and str(path) in refused.value.text
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CommandFailed):
            unlocking.from_file(path)


def test_the_order_is_flag_variable_file_beside_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Callable[..., None]
) -> None:
    flag, variable, beside = (
        secret_file(tmp_path / name, bytes([65 + place]) * 20)
        for place, name in enumerate(("flag", "variable", "beside"))
    )
    typed("typed at the terminal")
    assert unlocking.held_secret(None, None, "x", "--key-file") == Passphrase("typed at the terminal")
    assert unlocking.held_secret(None, beside, "x", "--key-file") == Passphrase("C" * 20)
    monkeypatch.setenv("HANSA_KEY_FILE", str(variable))
    assert unlocking.held_secret(None, beside, "x", "--key-file") == Passphrase("B" * 20)
    assert unlocking.held_secret(str(flag), beside, "x", "--key-file") == Passphrase("A" * 20)
    monkeypatch.setenv("HANSA_KEY_FILE", str(tmp_path / "missing"))
    with pytest.raises(CommandFailed) as refused:
        unlocking.held_secret(None, beside, "x", "--key-file")
    assert refused.value.code is Exit.NOT_ALLOWED, "a file that was named is not silently passed over"


def test_u15_nobody_is_asked_without_a_terminal_and_the_flag_is_named() -> None:
    for call in (
        lambda: unlocking.new_secret(None, "the keystore", "--key-file"),
        lambda: unlocking.held_secret(None, None, "the keystore", "--key-file"),
    ):
        with pytest.raises(CommandFailed) as refused:
            call()
        assert refused.value.code is Exit.USAGE and "--key-file" in refused.value.next_step


def test_a_new_passphrase_is_long_enough_and_typed_twice(typed: Callable[..., None]) -> None:
    typed("correct horse", "correct horse")
    assert unlocking.new_secret(None, "x", "-") == Passphrase("correct horse")
    for lines in (("correct horse", "correct house"), ("short", "short"), ("", ""), ("x" * 1025, "x" * 1025)):
        typed(*lines)
        with pytest.raises(CommandFailed) as refused:
            unlocking.new_secret(None, "x", "-")
        assert refused.value.code is Exit.USAGE
        assert lines[0] not in refused.value.text or not lines[0], "a passphrase is never repeated"


def test_a_drawn_secret_opens_what_it_closed(tmp_path: Path) -> None:
    first, second = unlocking.draw_secret(), unlocking.draw_secret()
    assert first != second and len(first) == 65
    assert isinstance(unlocking.from_file(secret_file(tmp_path / "s", first)), Secret)


def test_a_wrong_secret_and_a_damaged_key_end_with_not_allowed(
    home: Path, command: Callable[..., Done], tmp_path: Path
) -> None:
    wrong = secret_file(tmp_path / "wrong")
    done = command("key", "show", "clerk", "--check", "--home", str(home), "--key-file", str(wrong))
    assert done.code == Exit.NOT_ALLOWED and "does not open it" in done.err and not done.out
    done = command("key", "show", "clerk", "--check", "--home", str(home))
    assert done.code == 0 and "opens\tyes" in done.out


def test_u7_no_command_takes_a_passphrase_on_its_line() -> None:
    for path, leaf in leaves():
        names = [name for option in leaf.params for name in option.opts]
        assert not [name for name in names if "passphrase" in name or "password" in name], path
