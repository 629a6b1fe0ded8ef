"""`hansa config`: the effective configuration of a node, and which source gave each value (U5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import output, place
from cli.exit_codes import Exit
from cli.failure import CommandFailed

if TYPE_CHECKING:
    from node.config import LoadedConfig


@click.group("config")
def command() -> None:
    """The configuration of this company's node.

    \b
    hansa config show
    hansa config explain storage.keep_blocks
    hansa config check node.toml
    """


@command.command()
@place.home_option
@place.output_option
def show(home: str | None, form: str) -> None:
    """Print every value that the node would start with, and where it comes from.

    Environment variables count as they do for the node: HANSA_<SECTION>_<KEY> is stronger than the file.

    \b
    hansa config show
    hansa config show -o json
    """
    folder = place.existing_home(home)
    loaded = place.load_node(folder / place.NODE_FILE)
    _print(loaded, folder / place.NODE_FILE, form)


@command.command()
@click.argument("key", metavar="SECTION.KEY")
@place.home_option
@place.output_option
def explain(key: str, home: str | None, form: str) -> None:
    """Print one value and the source that won.

    \b
    hansa config explain api.listen
    """
    from node.config import ConfigError

    loaded = place.load_node(place.existing_home(home) / place.NODE_FILE)
    try:
        value, source = loaded.explain(key)
    except ConfigError as error:
        raise CommandFailed(Exit.NOT_FOUND, f"{key[:80]}: {error.reason}", error.fix) from None
    document = {"schema": "hansa.setting/1", "key": key, "value": _plain(value), "source": source}
    output.one(document, form, [("key", key), ("value", _text(value)), ("source", source)], key)


@command.command()
@click.argument("file", type=click.Path(dir_okay=False))
@place.output_option
def check(file: str, form: str) -> None:
    """Check a configuration file as the node would read it; a fault names file, key and fix.

    \b
    hansa config check node.toml
    """
    _print(place.load_node(Path(file)), Path(file), form, brief=True)


def _print(loaded: LoadedConfig, path: Path, form: str, *, brief: bool = False) -> None:
    found = [(key, value, loaded.explain(key)[1]) for key, value in _settings(loaded)]
    items = [{"key": key, "value": _plain(value), "source": source} for key, value, source in found]
    document = {"schema": "hansa.config/1", "file": str(path), "items": items, "warnings": list(loaded.warnings)}
    if brief and form == "table":
        own = sum(1 for _, _, source in found if source == str(path))
        click.echo(f"{path} holds: {own} values of its own, {len(found) - own} from elsewhere or by default")
    else:
        rows = [[key, _text(value), source] for key, value, source in found]
        output.emit(document, form, rows, ["KEY", "VALUE", "SOURCE"])
    for warning in loaded.warnings:
        output.say(f"warning: {warning}")


def _settings(loaded: LoadedConfig) -> Iterator[tuple[str, Any]]:
    from node.config import SECTIONS

    for section, kind in SECTIONS.items():
        for name in kind.__struct_fields__:
            yield f"{section}.{name}", getattr(getattr(loaded.config, section), name)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; paths are named by the configuration, secrets are not in it (U7)."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value if isinstance(value, bool | int | str | None) else str(value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items()) or "-"
    if isinstance(value, tuple | list):
        return ", ".join(_text(part) for part in value) or "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if value not in ("", None) else "-"
