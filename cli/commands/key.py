"""`hansa key`: the key files of a company, without ever showing a private key (S16, S34 to S37)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from cli import output, place
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from cli.place import home_option, output_option

MASTER = "master"


@click.group("key")
def command() -> None:
    """Keys of this company.

    \b
    hansa key list                       every key file and its public half
    hansa key new-passphrase clerk       change what opens a person's key
    """


@command.command("list")
@home_option
@output_option
@click.option("-q", "--quiet", is_flag=True, help="Print ids only, one a line.")
def list_(home: str | None, form: str, quiet: bool) -> None:
    """List the key files of a home; nothing is opened.

    \b
    hansa key list
    """
    found = [_describe(path) for path in _key_files(place.existing_home(home))]
    if quiet:
        for item in found:
            click.echo(item["id"])
        return
    rows = [[item["id"], item["kind"], item["where"], item["public"], item["file"]] for item in found]
    output.emit({"schema": "hansa.keys/1", "items": found}, form, rows, ["KEY", "KIND", "WHERE", "PUBLIC HALF", "FILE"])


@command.command()
@click.argument("key")
@click.option("--check", is_flag=True, help="Open it and compare the private key with its public half.")
@click.option("--key-file", type=click.Path(dir_okay=False), help="Secret that opens it.")
@home_option
@output_option
def show(key: str, check: bool, key_file: str | None, home: str | None, form: str) -> None:
    """Show one key: id of the key or path of its file.

    \b
    hansa key show consensus
    hansa key show clerk --check
    """
    folder = place.existing_home(home)
    path = _find(folder, key)
    item = _describe(path)
    if check:
        _open(folder, path, item["kind"], key_file)
        item["opens"] = True
    pairs = [(name, str(value)) for name, value in item.items() if name != "opens"]
    if check:
        pairs.append(("opens", "yes, and the private key yields the public half"))
    if form == "json":
        output.emit({"schema": "hansa.key/1", **item}, form, [], [])
    else:
        output.fields(pairs)


@command.command("new-secret")
@click.argument("file", type=click.Path(dir_okay=False))
def new_secret(file: str) -> None:
    """Write a random secret of 256 bits to FILE, mode 0600: for machines that start unattended.

    Whoever can read the file can open the keys: keep it apart from their backup.

    \b
    hansa key new-secret keystore.secret
    """
    from cli.unlocking import draw_secret

    path = Path(file)
    if path.exists() or path.is_symlink():
        raise CommandFailed(Exit.CONFLICT, f"{path} exists; a secret is never overwritten", "name another file")
    place.write_file(path, draw_secret())
    click.echo(str(path))


@command.command("new-passphrase")
@click.argument("key", default=MASTER)
@click.option("--key-file", type=click.Path(dir_okay=False), help="Secret that opens it now.")
@click.option("--new-key-file", type=click.Path(dir_okay=False), help="File with the new secret, instead of a prompt.")
@home_option
def new_passphrase(key: str, key_file: str | None, new_key_file: str | None, home: str | None) -> None:
    """Change what opens a key: the keystore of the node, or the key of a person or officer.

    The keys stay the same; only the file that wraps them is written again. Without KEY it is the node's keystore.

    \b
    hansa key new-passphrase clerk --new-key-file clerk.secret
    """
    from cli.unlocking import new_secret as wanted

    folder = place.existing_home(home)
    path = _find(folder, key)
    item = _describe(path)
    if item["where"] == "keystore" and item["id"] != MASTER:
        raise CommandFailed(
            Exit.USAGE,
            f"{item['id']} lies under the master key of the keystore",
            "change that one: hansa key new-passphrase",
        )
    opened = _open(folder, path, item["kind"], key_file)
    what = "the node's keystore" if item["id"] == MASTER else f"the key {item['id']}"
    secret = wanted(new_key_file, what, "--new-key-file")
    _rewrap(path, opened, secret)
    click.echo(f"{path}: written again")
    if item["id"] == MASTER:
        output.say("Next: set node.unlock and node.key_file in node.toml to what opens it now, then restart the node")


def _key_files(home: Path) -> list[Path]:
    folders = [_keystore(home), home / "officers", home / "people"]
    return [path for folder in folders for path in sorted(folder.glob("*.json"))]


def _keystore(home: Path) -> Path:
    config = home / place.NODE_FILE
    return place.load_node(config).config.keystore_dir if config.exists() else home / "keystore"


def _find(home: Path, key: str) -> Path:
    """Return the file of a key by path or id; an id that stands twice is refused."""
    if os.sep in key or key.endswith(".json"):
        path = Path(key)
        if not path.exists():
            raise CommandFailed(Exit.NOT_FOUND, f"there is no file {path}", "hansa key list")
        return path
    found = [path for path in _key_files(home) if path.stem == key]
    if not found:
        from difflib import get_close_matches

        known = [path.stem for path in _key_files(home)]
        close = get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "hansa key list shows them"
        raise CommandFailed(Exit.NOT_FOUND, f"there is no key {key!r} in {home}", hint)
    if len(found) > 1:
        raise CommandFailed(
            Exit.USAGE, f"{key!r} is the name of {len(found)} keys", f"name the file: {' or '.join(map(str, found))}"
        )
    return found[0]


def _describe(path: Path) -> dict[str, Any]:
    from cli.unlocking import refusal
    from node.identity.keystore import KeystoreError, read_public

    try:
        key_id, kind, public = read_public(path)
    except KeystoreError as error:
        raise refusal(error) from None
    return {"id": key_id, "kind": kind, "where": path.parent.name, "public": public.hex(), "file": str(path)}


def _open(home: Path, path: Path, kind: str, key_file: str | None) -> Any:
    """Open a key of the keystore (through its master key) or one that stands alone."""
    from cli.unlocking import PEOPLE_SECRET, held_secret, open_key, refusal
    from node.identity.keystore import KeyKind, Keystore, KeystoreError

    if path.parent.name in ("people", "officers") or kind in ("user", "root"):
        beside = path.parent.parent / PEOPLE_SECRET
        return open_key(path, held_secret(key_file, beside, f"the key {path.stem}", "--key-file"))
    secret = held_secret(key_file, _node_key_file(home), "the node's keystore", "--key-file")
    try:
        keystore = Keystore.open(path.parent, secret)
        if path.stem != MASTER:
            keystore.load(path.stem, KeyKind(kind))
        return keystore
    except KeystoreError as error:
        raise refusal(error) from None


def _node_key_file(home: Path) -> Path | None:
    config = home / place.NODE_FILE
    if not config.exists():
        return None
    node = place.load_node(config).config.node
    return Path(node.key_file) if node.unlock == "file" and node.key_file else None


def _rewrap(path: Path, opened: Any, secret: Any) -> None:
    from cli.unlocking import refusal
    from node.identity.keystore import Keystore, KeystoreError, StoredKey, write_key
    from node.store.places import sync_directory

    try:
        if isinstance(opened, Keystore):
            opened.change_secret(secret)
        elif isinstance(opened, StoredKey):
            fresh = path.with_name(f".{path.name}.new")
            fresh.unlink(missing_ok=True)
            write_key(fresh, opened.key_id, opened.kind, opened.private, secret, chain_id=opened.chain_id)
            fresh.replace(path)  # the new file is durable before it takes the place of the old one
            sync_directory(path.parent)
    except KeystoreError as error:
        raise refusal(error) from None
