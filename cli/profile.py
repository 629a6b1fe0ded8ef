"""Which node a command talks to, and as whom: flags, environment, profile file, in this order (U5).

A profile names an API address, a token and a company home. `hansa cluster up` and `hansa login` write them; the
file holds tokens, so it is readable by its owner only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tomllib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from cli import output
from cli.client import Client
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.output import FORMS

if TYPE_CHECKING:
    from cli.wallet import Wallet

T = TypeVar("T")
FILE_NAME: Final = "config.toml"
TIMEOUT_MAX_S: Final = 3600
"""The longest wait of one command, in seconds; a script that waits longer asks again by id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A remembered node."""

    name: str
    api: str
    token: str
    home: str
    ca_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What one command works with. `output` is one of `FORMS`, or `ids` when only ids are wanted (U10)."""

    profile: Profile
    output: str
    timeout_s: float
    verbose: bool = False
    """Whether each request to the node is told on stderr."""

    @property
    def talks(self) -> bool:
        """Tell whether remarks for a person go to stderr beside the result."""
        return self.output == "table"

    def client(self) -> Client:
        """Return the client of the chosen node."""
        if not self.profile.api:
            raise CommandFailed(
                Exit.USAGE, "no node is chosen", "hansa demo, or hansa login --api URL --token TOKEN, or --api"
            )
        return Client(
            self.profile.api,
            self.profile.token,
            ca_file=self.profile.ca_file,
            timeout_s=max(60.0, self.timeout_s + 5),
            told=output.say if self.verbose else None,
        )

    def wallet(self) -> Wallet:
        """Return the people of the chosen home."""
        if not self.profile.home:
            raise CommandFailed(Exit.USAGE, "no company home is chosen", "name it with --home, or make one: hansa init")
        from cli.wallet import Wallet

        return Wallet(Path(self.profile.home))


def config_directory() -> Path:
    """Return `hansa` under the XDG configuration directory."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "hansa"


def load_profiles() -> tuple[str, dict[str, Profile]]:
    """Return (current name, profiles by name)."""
    path = config_directory() / FILE_NAME
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "", {}
    except OSError as error:
        raise CommandFailed(
            Exit.FAILED,
            f"cannot read {path}: {error.strerror}",
            "let its owner run the command, or set XDG_CONFIG_HOME",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandFailed(Exit.USAGE, f"{path}: {error}", "correct or remove the file") from None
    profiles = {
        name: Profile(
            name=name,
            api=str(entry.get("api", "")),
            token=str(entry.get("token", "")),
            home=str(entry.get("home", "")),
            ca_file=str(entry.get("ca_file", "")),
        )
        for name, entry in _table(table, "profile").items()
        if isinstance(entry, Mapping)
    }
    return str(table.get("current", "")), profiles


def save_profiles(current: str, profiles: Mapping[str, Profile]) -> Path:
    """Write all profiles; the file is created with mode 0600."""
    lines = ["# Nodes that `hansa` knows. Tokens are secrets: keep this file to yourself.", f"current = {_q(current)}"]
    for name, profile in sorted(profiles.items()):
        lines += ["", f"[profile.{_q(name)}]", f"api = {_q(profile.api)}", f"token = {_q(profile.token)}"]
        lines.append(f"home = {_q(profile.home)}")
        if profile.ca_file:
            lines.append(f"ca_file = {_q(profile.ca_file)}")
    folder = config_directory()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / FILE_NAME
        temporary = path.with_suffix(".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        temporary.replace(path)
    except OSError as error:
        raise CommandFailed(
            Exit.FAILED,
            f"cannot write {folder}: {error.strerror}",
            "set XDG_CONFIG_HOME to a folder that you can write",
        ) from None
    return path


def remember(profiles: Mapping[str, Profile], current: str) -> Path:
    """Add or replace profiles and make `current` the current one."""
    _, known = load_profiles()
    return save_profiles(current, {**known, **profiles})


def choose(name: str | None, api: str | None, token: str | None, home: str | None) -> Profile:
    """Return the profile that flags, environment and file give."""
    current, profiles = load_profiles()
    wanted = name or os.environ.get("HANSA_PROFILE") or current
    base = profiles.get(wanted)
    if base is None and name:
        known = ", ".join(sorted(profiles)) or "none"
        close = get_close_matches(name, profiles, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise CommandFailed(Exit.USAGE, f"there is no profile {name!r}", f"{hint}known are {known}; see hansa login")
    named_home, named_api = home or os.environ.get("HANSA_HOME"), api or os.environ.get("HANSA_API")
    if named_home and not name and not named_api:
        base = _of_home(Path(named_home), base, profiles)
    base = base or Profile(name="", api="", token="", home="" if named_api else _made_here())
    return Profile(
        name=base.name,
        api=api or os.environ.get("HANSA_API") or base.api,
        token=token or os.environ.get("HANSA_TOKEN") or base.token,
        home=home or os.environ.get("HANSA_HOME") or base.home,
        ca_file=base.ca_file,
    )


def command_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command has, and hand the command a `Session` first."""

    @click.option("-o", "--output", "form", type=click.Choice(FORMS), default="table", help="Form of the result.")
    @click.option("-q", "--quiet", is_flag=True, help="Print ids only, one a line, and no remarks.")
    @click.option(
        "-v", "--verbose", is_flag=True, help="Tell on stderr which node is asked what, and how long it took."
    )
    @click.option("--profile", "profile_name", help="Remembered node to use.")
    @click.option("--api", help="Address of a node's API.")
    @click.option("--token", help="API token; better in HANSA_TOKEN or a profile than on the command line.")
    @click.option("--home", type=click.Path(file_okay=False), help="Company home with people and keys.")
    @click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(0, TIMEOUT_MAX_S),
        default=20.0,
        show_default=True,
        help="Seconds to wait.",
    )
    @wraps(function)
    def wrapped(
        form: str,
        quiet: bool,
        verbose: bool,
        profile_name: str | None,
        api: str | None,
        token: str | None,
        home: str | None,
        timeout_s: float,
        **rest: Any,
    ) -> Any:
        session = Session(
            profile=choose(profile_name, api, token, home),
            output="ids" if quiet else form,
            timeout_s=timeout_s,
            verbose=verbose,
        )
        if verbose:
            output.say(f"profile {session.profile.name or '-'}, node {session.profile.api or '-'}")
        return function(session, **rest)

    return wrapped


def run(
    work: Callable[[Client], Coroutine[Any, Any, T]], session: Session, named: tuple[str, str, str] | None = None
) -> T:
    """Run `work` with a client of the session's node.

    `named` says what the command is about, for the refusal when it is not there: (noun, id, what to do then).
    """

    async def inside() -> T:
        _wake_for_interrupts()
        async with session.client() as client:
            return await work(client)

    try:
        return asyncio.run(inside())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except CommandFailed as failure:
        if failure.code is not Exit.NOT_FOUND or named is None or (failure.problem or {}).get("code") != "not_found":
            raise
        noun, name, step = named
        text = f"there is no {noun} {name[:80]!r} that this company can see"
        raise CommandFailed(
            Exit.NOT_FOUND,
            text,
            f"check the spelling; {step}; hansa whoami shows which company asks",
            {**(failure.problem or {}), "detail": text},
        ) from None


def _wake_for_interrupts() -> None:
    """Let Ctrl-C end the task that runs, also when it comes just before the loop waits.

    `asyncio.run` sets a handler that the interpreter calls between two instructions: a signal that arrives between the
    last of them and the wait of the system is noticed only when something else ends the wait. A loop's own handler has
    a file descriptor that ends it (PEP 475 covers waits that have begun, `signal.set_wakeup_fd` the rest).
    """
    task = asyncio.current_task()
    if task is None or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # another system, or not the main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)


Work = Callable[[Client], Awaitable[T]]


def _of_home(home: Path, base: Profile | None, profiles: Mapping[str, Profile]) -> Profile | None:
    """Return the profile of the node that lives in `home`: a remembered one, or its address alone.

    Whoever names a company's home means that company's node, not the one that happens to be current.
    """
    from cli.place import NODE_FILE, own_api

    where = home.expanduser().absolute()
    fitting = [profile for profile in profiles.values() if profile.home and Path(profile.home).absolute() == where]
    if base in fitting or not (where / NODE_FILE).exists():
        return base
    if fitting:
        return fitting[0]
    url, ca_file = own_api(where)
    return Profile(name="", api=url, token="", home=str(where), ca_file=ca_file)


def _made_here() -> str:
    """Return the home that `hansa init` made without being told a folder; "" when there is none."""
    from cli.place import default_home

    home = default_home()
    return str(home) if (home / "people.toml").exists() else ""


def _table(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name, {})
    return found if isinstance(found, Mapping) else {}


def _q(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
