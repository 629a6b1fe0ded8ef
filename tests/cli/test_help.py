"""Help that helps: every command shows an example, the examples that need no network run, and looking costs little."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from cli.__main__ import _GROUPS, hansa
from node.api.routes import OPERATIONS
from tests.cli.conftest import Done, leaves

ROOT = Path(__file__).resolve().parent.parent.parent
LEAVES = {" ".join(path): leaf for path, leaf in leaves()}
HEAVY = (
    "aiohttp",
    "cryptography",
    "nacl",
    "lmdb",
    "lxml",
    "jinja2",
    "msgspec",
    "asyncio",
    "node",
    "contracts",
    "ledger",
)
TREE = (
    "init", "login", "whoami", "version", "doctor", "demo", "bench", "verify",
    "key list", "key show", "key new-secret", "genesis new", "genesis sign", "genesis finalize", "genesis inspect",
    "node run", "node status", "node why", "node peers",
    "tx call", "tx sign", "tx submit", "tx show", "tx wait", "tx decode", "state get",
    "token create", "token list", "token revoke", "company list", "user list",
    "invoice import", "invoice list", "invoice show", "invoice receive", "invoice accept", "invoice reject",
    "invoice dispute", "invoice drop-dispute", "invoice credit", "invoice pay", "invoice set-off", "invoice export",
    "invoice write-off", "invoice resolve", "block list", "event list", "event tail", "search", "ledger open-items",
    "config show", "config explain", "config check", "profile list", "profile use", "profile forget",
    "payment list", "payment show", "payment release", "payment confirm", "payment fail", "limit list", "limit set",
    "ledger balance", "ledger trial-balance", "ledger ageing", "ledger journal", "audit export", "audit verify",
    "contract list", "contract show", "contract check", "contract test", "sim run",
    "cluster up", "cluster down", "cluster purge", "cluster ls", "cluster status", "cluster logs", "cluster kill",
    "cluster stop", "cluster start", "cluster restart", "cluster pause", "cluster resume", "cluster rotate-key",
)  # fmt: skip
"""The commands of U20 that stand; none may get lost."""


def examples(leaf: click.Command) -> list[str]:
    text = inspect.cleandoc(leaf.help or "").replace("\b", "")
    return [line.strip() for line in text.splitlines() if line.strip().startswith("hansa ")]


def test_u20_the_tree_is_whole() -> None:
    assert [name for name in TREE if name not in LEAVES] == []


def test_u1_every_operation_of_the_api_has_a_command_that_stands() -> None:
    named = {operation.name: operation.command.split()[1:] for operation in OPERATIONS}
    gone = {
        name: " ".join(words)
        for name, words in named.items()
        if " ".join(word for word in words if not word.startswith("-")) not in LEAVES
    }
    assert gone == {}


@pytest.mark.parametrize("name", LEAVES)
def test_u16_every_command_has_a_sentence_and_an_example_of_itself(name: str) -> None:
    leaf = LEAVES[name]
    assert len((leaf.help or "").split("\b")[0].split()) >= 3, "a sentence says what it does"
    own = [line for line in examples(leaf) if line.startswith(f"hansa {name}")]
    assert own, f"hansa {name} --help has no example of itself"
    for line in own:
        words = shlex.split(line)
        assert "--help" not in words
        used = [word.split("=")[0] for word in words if word.startswith("--")]
        known = {flag for option in leaf.params for flag in (*option.opts, *option.secondary_opts)}
        assert [flag for flag in used if flag not in known] == [], line


@pytest.mark.parametrize("name", LEAVES)
def test_no_option_is_there_twice(name: str) -> None:
    flags = [flag for option in LEAVES[name].params for flag in (*option.opts, *option.secondary_opts)]
    assert sorted(flags) == sorted(set(flags))


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_is_explained(name: str) -> None:
    for option in LEAVES[name].params:
        if isinstance(option, click.Option):
            assert option.help, f"hansa {name} {option.opts[0]} says nothing"


def test_the_first_page_names_every_group_in_one_line() -> None:
    text = hansa.get_help(click.Context(hansa, info_name="hansa", max_content_width=110))
    for name, (module, summary) in _GROUPS.items():
        assert re.search(rf"^  {name} +\S.*\.$", text, re.M), name
        assert module.startswith("cli.commands.") and summary.endswith(".")


def test_u9_asking_for_help_imports_nothing_that_is_not_needed() -> None:
    code = (
        "import sys; from cli.__main__ import run; code = run(['--help']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
    assert "hansa invoice list" in done.stdout


@pytest.mark.parametrize("group", ["invoice", "payment", "ledger", "node", "limit", "company", "whoami"])
def test_u9_help_of_a_group_starts_no_network_library(group: str) -> None:
    code = (
        f"import sys; from cli.__main__ import run; run([{group!r}, '--help']); "
        "print([name for name in ('aiohttp', 'lmdb', 'lxml', 'jinja2') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr.strip() == "[]"


OFFLINE = (
    ("init", 'hansa init "Acme GmbH" --development'),
    ("version", "hansa version"),
    ("version", "hansa version -o json"),
    ("key new-secret", "hansa key new-secret keystore.secret"),
    ("key list", "hansa key list"),
    ("key show", "hansa key show consensus"),
    ("key show", "hansa key show clerk --check"),
    ("token create", "hansa token create --as books --offline"),
    ("token list", "hansa token list --offline"),
    ("cluster ls", "hansa cluster ls"),
    ("sim list", "hansa sim list"),
)


def test_u16_the_examples_that_need_no_network_work_as_printed(
    command: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, line in OFFLINE:
        assert line in examples(LEAVES[name]), f"{line} is no example of hansa {name}"
        done = command(*shlex.split(line)[1:])
        assert done.code == 0, f"{line}: {done.err}"
        assert done.out or done.err
