"""Which company home an offline command works in, and reading what lies there (U5, U6)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cli.exit_codes import Exit
from cli.failure import CommandFailed

if TYPE_CHECKING:
    from cli.profile import Session
    from node.config import LoadedConfig

NODE_FILE: Final = "node.toml"
PAGE_MAX: Final = 200
"""Lines that a node gives at once (U30)."""
WATCH_MIN_S: Final = 0.5
"""The shortest pause between two looks, in seconds: more would only empty the caller's token bucket (S52)."""
WATCH_MAX_S: Final = 3600
"""The longest one, in seconds: rarer looks are the affair of cron."""

home_option: Callable[[Any], Any] = click.option(
    "--home", type=click.Path(file_okay=False), help="Company home; HANSA_HOME or the profile's if left out."
)
output_option: Callable[[Any], Any] = click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", help="Form of the result."
)


def as_of_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--as-of`, checked before anybody is asked."""
    return click.option("--as-of", metavar="DATE", callback=_date, help="Date; today if left out.")(function)


def height_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--at-height` to a read (U12, U25)."""
    return click.option(
        "--at-height", type=click.IntRange(0), metavar="HEIGHT", help="State after this block; the newest if left out."
    )(function)


def height_param(height: int | None) -> dict[str, str]:
    """Return the query parameter of `--at-height`, or none."""
    return {} if height is None else {"at_height": str(height)}


def list_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--columns` and `--filter` to a command that prints a list, and `--watch` (U12)."""
    function = watch_option(function)
    function = click.option(
        "--filter",
        multiple=True,
        metavar="COLUMN=VALUE",
        expose_value=False,
        callback=_filters,
        help="Only lines of this page with this value; repeat it for more.",
    )(function)
    return click.option(
        "--columns",
        metavar="A,B",
        expose_value=False,
        callback=_columns,
        help="Only these columns: headings, or fields as -o csv names them.",
    )(function)


def watch_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--watch` to a read: it stands directly above the function, and the read is done again and again (U12)."""

    @click.option(
        "--watch",
        type=click.FloatRange(WATCH_MIN_S, WATCH_MAX_S),
        metavar="SECONDS",
        help="Print it again after so many seconds, until Ctrl-C.",
    )
    @wraps(function)
    def wrapped(session: Session, watch: float | None, **rest: Any) -> Any:
        while watch is not None:
            click.clear()
            try:
                function(session, **rest)
            except CommandFailed as failure:
                if failure.code is not Exit.UNAVAILABLE:
                    raise
                click.echo(failure.text, err=True)  # a node that starts again is what somebody watches for
            time.sleep(watch)
        return function(session, **rest)

    return wrapped


def _columns(context: click.Context, parameter: click.Parameter, value: str | None) -> None:  # noqa: ARG001
    names = tuple(name.strip() for name in (value or "").split(","))
    if value is not None and not all(names):
        raise click.BadParameter(f"{value!r} has an empty name; write it like id,due,total")
    _shape(context, columns=names if value is not None else ())


def _filters(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> None:  # noqa: ARG001
    pairs = [value.partition("=") for value in values]
    for name, sign, _ in pairs:
        if not name or not sign:
            raise click.BadParameter(f"{name + sign!r} is no condition; write it like status=overdue")
    _shape(context, filters=tuple((name.strip(), value.strip()) for name, _, value in pairs))


def _shape(context: click.Context, **chosen: Any) -> None:
    from cli.output import SHAPE_KEY, Shape

    context.meta[SHAPE_KEY] = replace(context.meta.get(SHAPE_KEY, Shape()), **chosen)


def page_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--limit` and `--cursor` to a list (U12, U30)."""
    function = click.option("--cursor", help="Go on after an earlier page; printed under it.")(function)
    limit = click.IntRange(1, PAGE_MAX)
    return click.option("--limit", type=limit, default=50, show_default=True, help="Lines of one page.")(function)


def _date(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001
    from cli.amounts import parse_date

    return parse_date(value) if value else None


def default_home() -> Path:
    """Return `hansa/home` under the XDG data directory (U6)."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "hansa" / "home"


def new_home(chosen: str | None) -> Path:
    """Return where a new company goes: flag, HANSA_HOME, default."""
    return Path(chosen or os.environ.get("HANSA_HOME") or default_home()).expanduser().absolute()


def existing_home(chosen: str | None) -> Path:
    """Return a home that holds a company: flag, HANSA_HOME, current profile, default. Refuses a folder without one."""
    path = Path(chosen or os.environ.get("HANSA_HOME") or _of_profile() or default_home()).expanduser().absolute()
    if not (path / NODE_FILE).exists() and not (path / "people.toml").exists():
        raise CommandFailed(
            Exit.USAGE, f"there is no company in {path}", "name its home with --home, or make one with hansa init"
        )
    return path


def load_node(path: Path) -> LoadedConfig:
    """Return the configuration of a node; a fault names file, key and fix."""
    from node.config import ConfigError, load_config

    try:
        return load_config([path], os.environ)
    except ConfigError as error:
        where = f"{error.source}: {error.key}" if error.key else error.source
        raise CommandFailed(Exit.USAGE, f"{where}: {error.reason}", error.fix) from None


def own_api(home: Path) -> tuple[str, str]:
    """Return (address, certificate to trust) of the API of the node in `home`.

    The second is empty for plain HTTP and for a certificate that the configuration names: whom that one needs is the
    company's own matter. The node made the other one itself (S46).
    """
    from node.identity.tls import API_CERTIFICATE_FILE

    config = load_node(home / NODE_FILE).config
    if config.api.tls_certificate:
        return f"https://{config.api.listen}", ""
    if config.node.development:
        return f"http://{config.api.listen}", ""
    return f"https://{config.api.listen}", str(config.keystore_dir.parent / API_CERTIFICATE_FILE)


def read_bytes(path: Path, what: str) -> bytes:
    """Return the content of a file that somebody named."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandFailed(
            Exit.NOT_FOUND, f"cannot read the {what} {path}: {error.strerror}", "check the path"
        ) from None


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    from node.identity.keystore import KeystoreError, write_private

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, data)
    except (OSError, KeystoreError) as error:
        text = f"cannot write {path}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise CommandFailed(Exit.FAILED, text, "name a folder that you can write") from None


def _of_profile() -> str:
    from cli.profile import load_profiles

    current, profiles = load_profiles()
    profile = profiles.get(os.environ.get("HANSA_PROFILE") or current)
    return profile.home if profile else ""
