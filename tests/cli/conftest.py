"""The command line inside this process, in an environment of its own, and a founded network that no node runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from cli import local
from cli.__main__ import hansa, run
from simulator.cluster.plan import Plan


@dataclass(frozen=True, slots=True)
class Done:
    """One command that ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def problem(self) -> Any:
        """Return the problem object, the last line of stderr."""
        return json.loads(self.err.splitlines()[-1])


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run `hansa ARGUMENTS` where no profile, home or secret of the caller can be seen."""
    for name in ("HANSA_HOME", "HANSA_PROFILE", "HANSA_API", "HANSA_TOKEN", "HANSA_KEY_FILE", "HANSA_STATE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("CONFIG", "STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / f"xdg-{name.lower()}"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HANSA_LANG", "en")

    def hansa_(*arguments: str) -> Done:
        capsys.readouterr()
        code = run(list(arguments))
        shown = capsys.readouterr()
        return Done(code, shown.out, shown.err)

    return hansa_


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    """The four companies of the demo: homes, keys and genesis file as a cluster makes them; nothing runs."""
    directory = tmp_path_factory.mktemp("founded") / "net"
    plan = local.prepare(directory, "net", local.DEMO_CAST, 1, 23_900)
    return directory, plan


@pytest.fixture
def home(founded: tuple[Path, Plan]) -> Path:
    """The home of the first company."""
    directory, plan = founded
    return directory / plan.nodes[0].home


def leaves(group: click.Group | None = None, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    """Return every leaf command with its path."""
    found: list[tuple[tuple[str, ...], click.Command]] = []
    top = group or hansa
    assert isinstance(top, click.Group)
    context = click.Context(top, info_name=" ".join(("hansa", *path)))
    for name in top.list_commands(context):
        child = top.get_command(context, name)
        assert child is not None
        if isinstance(child, click.Group):
            found += leaves(child, (*path, name))
        else:
            found.append(((*path, name), child))
    return found
