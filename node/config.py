"""Configuration of one node: TOML, environment and flags into frozen records (U5). Door: `load_config`.

Precedence: flag, then `HANSA_<SECTION>_<KEY>`, then the files (later ones win), then the default. `LoadedConfig`
remembers which source won each key, so `hansa config explain KEY` can say it. Every refusal names file, key and fix.
Built once in `node.app` and handed down; nothing reads a configuration from a global place.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

FILE_LIMIT_BYTES: Final = 256 * 1024
ENVIRONMENT_PREFIX: Final = "HANSA_"
PORT_MAX: Final = 65_535

_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}|0")
_COMPANY: Final = re.compile(r"c[a-z2-7]{26}")


class ConfigError(Exception):
    """A configuration that cannot be used: where it stands, which key, what is wrong, and the fix."""

    code = "config"

    def __init__(self, source: str, key: str, reason: str, fix: str) -> None:
        super().__init__(f"{source}: {key}: {reason}; {fix}" if key else f"{source}: {reason}; {fix}")
        self.source = source
        self.key = key
        self.reason = reason
        self.fix = fix


class AddressMalformed(ValueError):
    """Text that is not `host:port`."""


class Address(NamedTuple):
    """A listener or peer address. `host` is a name, an IPv4 address, or an IPv6 address without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Tell whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str) -> Address:
    """Return the parts of `host:port` or `[ipv6]:port`; raise `AddressMalformed`.

    >>> parse_address("[::1]:7401")
    Address(host='::1', port=7401)
    """
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > PORT_MAX:
        raise AddressMalformed(f"{text[:80]!r} is not host:port with a port from 0 to {PORT_MAX}")
    if host.startswith("[") and host.endswith("]"):
        try:
            return Address(str(ipaddress.IPv6Address(host[1:-1])), int(port))
        except ValueError:
            raise AddressMalformed(f"{text[:80]!r} has no IPv6 address in its brackets") from None
    if not _HOST.fullmatch(host):
        raise AddressMalformed(f"{text[:80]!r} has no host name or address before the port")
    return Address(host, int(port))


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections. Unknown keys are refused: a misspelt key must not silently mean the default."""


class NodeSection(_Section, frozen=True, kw_only=True):
    """Who this node is and where its files are. Relative paths are relative to the file that names them."""

    data_dir: str
    company: str = ""
    """Company id; empty: the only company whose consensus key is in the keystore."""
    keys_replaced: bool = False
    """The keys that the genesis file names are lost; the companies agreed to those in the keystore (S28)."""
    keystore: str = ""
    """Empty: `keystore` inside data_dir."""
    genesis: str = ""
    """Empty: `genesis.hansa` inside data_dir."""
    directory: str = ""
    """Empty: `directory.toml` beside the genesis file."""
    people: str = ""
    """Private directory of the own people, user id -> label; empty: none. It never leaves this node (S18)."""
    unlock: Literal["prompt", "credential", "file", "environment"] = "prompt"
    key_file: str = ""
    development: bool = False
    """Fault hooks and known keys; refused when the genesis document says production (C5)."""
    clock_offset_ms: int = 0
    """Added to the wall clock, to see what a wrong clock does; development networks only (C5)."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"


class ApiSection(_Section, frozen=True, kw_only=True):
    """API and web pages (U8)."""

    listen: str = "127.0.0.1:7400"
    web: bool = True
    tls_certificate: str = ""
    tls_key: str = ""
    hosts: tuple[str, ...] = ()
    """Names under which browsers may address this listener, besides the one it listens on."""
    rates: Mapping[str, tuple[int, int]] = {}  # frozen by the struct, msgspec copies it
    """Token id -> (units per second, burst): raises the limits of S52 for systems that submit batches."""


class OpsSection(_Section, frozen=True, kw_only=True):
    """Health and metrics, a listener of its own (U8)."""

    enabled: bool = True
    listen: str = "127.0.0.1:7402"


class PeersSection(_Section, frozen=True, kw_only=True):
    """Links to the other companies' nodes (mutual TLS)."""

    listen: str = "0.0.0.0:7401"  # other companies must reach it; only registered keys get in
    addresses: Mapping[str, str] = {}  # frozen by the struct, msgspec copies it
    """Company id -> host:port; wins over the address in the directory."""
    reconnect_max_s: int = 10
    outbound_max_mib: int = 16


class StorageSection(_Section, frozen=True, kw_only=True):
    """Sizes of the store. The largest sizes are address space, not reserved disk space."""

    ledger_max_gib: int = 64
    documents_max_gib: int = 64
    min_free_mib: int = 256
    """Below this much free disk space the node reports itself not ready (U60)."""
    sync_replay_blocks: int = 5_000
    """A node that is more blocks behind takes a snapshot of the state instead of replaying them; 0: never (P107)."""
    snapshot_every: int = 2_500
    """Heights between two snapshots that this node makes for others; at most half of what they replay. 0: none."""
    keep_blocks: int = 0
    """Blocks that are kept with receipts and events when older ones are pruned; 0: all."""
    keep_days: int = 0
    """The same by age of the block in days; when both are set, what either keeps stays. 0: not by age."""


class NodeConfig(_Section, frozen=True, kw_only=True):
    """Everything a node is told from outside."""

    node: NodeSection
    api: ApiSection = ApiSection()
    ops: OpsSection = OpsSection()
    peers: PeersSection = PeersSection()
    storage: StorageSection = StorageSection()

    @property
    def data_dir(self) -> Path:
        return Path(self.node.data_dir)

    @property
    def keystore_dir(self) -> Path:
        return Path(self.node.keystore) if self.node.keystore else self.data_dir / "keystore"

    @property
    def genesis_file(self) -> Path:
        return Path(self.node.genesis) if self.node.genesis else self.data_dir / "genesis.hansa"

    @property
    def directory_file(self) -> Path:
        return Path(self.node.directory) if self.node.directory else self.genesis_file.with_name("directory.toml")

    @property
    def api_address(self) -> Address:
        return parse_address(self.api.listen)

    @property
    def ops_address(self) -> Address:
        return parse_address(self.ops.listen)

    @property
    def peers_address(self) -> Address:
        return parse_address(self.peers.listen)

    @property
    def peer_addresses(self) -> Mapping[str, Address]:
        return {company: parse_address(address) for company, address in self.peers.addresses.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """A configuration, where each value came from (`section.key` -> words), and what was ignored."""

    config: NodeConfig
    sources: Mapping[str, str]
    warnings: tuple[str, ...]

    def explain(self, key: str) -> tuple[Any, str]:
        """Return (value, source) of `section.key`; raise `ConfigError` for a key that does not exist."""
        section, _, name = key.partition(".")
        if section not in SECTIONS or name not in _keys_of(section):
            raise ConfigError("hansa config explain", key, "there is no such key", _suggest(key, _all_keys()))
        return getattr(getattr(self.config, section), name), self.sources.get(key, "default")


SECTIONS: Final[Mapping[str, type[_Section]]] = {
    "node": NodeSection,
    "api": ApiSection,
    "ops": OpsSection,
    "peers": PeersSection,
    "storage": StorageSection,
}
_PATHS: Final = frozenset(
    {"data_dir", "keystore", "genesis", "directory", "people", "key_file", "tls_certificate", "tls_key"}
)
_TABLES: Final = ("api.rates", "peers.addresses")
"""Keys that are tables: a file can hold them, a variable cannot."""
_RATE_MAX: Final = 10_000_000
_BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    "node.clock_offset_ms": (-86_400_000, 86_400_000),
    "peers.reconnect_max_s": (1, 300),
    "peers.outbound_max_mib": (8, 1024),
    "storage.ledger_max_gib": (1, 16_384),
    "storage.documents_max_gib": (1, 16_384),
    "storage.min_free_mib": (16, 1_048_576),
    "storage.sync_replay_blocks": (0, 1_000_000_000),
    "storage.snapshot_every": (0, 1_000_000_000),
    "storage.keep_blocks": (0, 1_000_000_000_000),
    "storage.keep_days": (0, 100_000),
}


def load_config(
    files: Sequence[Path], environment: Mapping[str, str], flags: Mapping[str, str | int | bool] | None = None
) -> LoadedConfig:
    """Merge `files` (least important first), `environment` and `flags` (`section.key` -> value), and check the result.

    Raises `ConfigError`. A file that is named must exist; leave out those that do not.
    """
    merged: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    sources: dict[str, str] = {}
    for path in files:
        for section, values in _read(path).items():
            for key, value in values.items():
                merged[section][key] = _absolute(path, key, value)
                sources[f"{section}.{key}"] = str(path)
    warnings = _take_environment(environment, merged, sources)
    for name, value in (flags or {}).items():
        section, _, key = name.partition(".")
        if section not in SECTIONS or key not in _keys_of(section):
            raise ConfigError("command line", name, "there is no such key", _suggest(name, _all_keys()))
        merged[section][key] = value
        sources[name] = "command line"
    if not merged["node"].get("data_dir"):
        where = str(files[-1]) if files else "configuration"
        raise ConfigError(where, "node.data_dir", "it is missing", 'set it, for example data_dir = "/var/lib/hansa"')
    config = _convert(merged, sources)
    _check(config, sources)
    return LoadedConfig(config=config, sources=sources, warnings=tuple(warnings))


def _read(path: Path) -> Mapping[str, Mapping[str, Any]]:
    source = str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(source, "", f"cannot be read ({error.strerror})", "name an existing file") from error
    if len(raw) > FILE_LIMIT_BYTES:
        raise ConfigError(source, "", f"{len(raw)} bytes", f"a configuration has at most {FILE_LIMIT_BYTES}")
    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(source, "", "it is not UTF-8 text", "save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, "", f"it is not TOML ({error})", "correct the line that is named") from None
    for section, values in table.items():
        if section not in SECTIONS:
            raise ConfigError(source, section, "there is no such section", _suggest(section, list(SECTIONS)))
        if not isinstance(values, dict):
            raise ConfigError(source, section, "it is a value", f"write it as a section [{section}]")
        for key in values:
            if key not in _keys_of(section):
                keys = [f"{section}.{name}" for name in _keys_of(section)]
                raise ConfigError(
                    source, f"{section}.{key}", "there is no such key", _suggest(f"{section}.{key}", keys)
                )
    return table


def _take_environment(
    environment: Mapping[str, str], merged: dict[str, dict[str, Any]], sources: dict[str, str]
) -> list[str]:
    """Merge `HANSA_<SECTION>_<KEY>`; other variables of ours are none of this file's business."""
    warnings: list[str] = []
    for name in sorted(environment):
        for section in SECTIONS:
            prefix = f"{ENVIRONMENT_PREFIX}{section.upper()}_"
            if not name.startswith(prefix):
                continue
            key = name[len(prefix) :].lower()
            if key not in _keys_of(section) or f"{section}.{key}" in _TABLES:
                warnings.append(f"{name} is not a setting of the node and was ignored")
                continue
            merged[section][key] = _typed(section, key, environment[name], name)
            sources[f"{section}.{key}"] = name
    return warnings


def _typed(section: str, key: str, text: str, source: str) -> Any:
    """Return the value that environment text stands for."""
    kind = get_type_hints(SECTIONS[section])[key]
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ConfigError(source, f"{section}.{key}", f"{text[:40]!r} is not true or false", "set true or false")
        return text.lower() in ("true", "1", "yes")
    if kind is int:
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise ConfigError(source, f"{section}.{key}", f"{text[:40]!r} is not a whole number", "set a number")
        return int(text)
    if key == "hosts":
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _convert(merged: Mapping[str, Mapping[str, Any]], sources: Mapping[str, str]) -> NodeConfig:
    try:
        return msgspec.convert(merged, NodeConfig, strict=True)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        key = ".".join(path.rstrip("`").split(".")[:2]).partition("[")[0]
        fault = text[:1].lower() + text[1:]
        raise ConfigError(sources.get(key, "configuration"), key, fault, _choices(key)) from None


def _choices(key: str) -> str:
    """Return the fix for a value of the wrong type: the words of a closed choice where there is one."""
    section, _, name = key.partition(".")
    hint = get_type_hints(SECTIONS[section]).get(name) if section in SECTIONS else None
    words = get_args(hint) if get_origin(hint) is Literal else ()
    return f"choose one of {', '.join(words)}" if words else "correct the value"


def _check(config: NodeConfig, sources: Mapping[str, str]) -> None:
    """Check what types cannot say; the first fault is raised."""

    def refuse(key: str, reason: str, fix: str) -> ConfigError:
        return ConfigError(sources.get(key, "default"), key, reason, fix)

    for key, (low, high) in _BOUNDS.items():
        section, _, name = key.partition(".")
        value = getattr(getattr(config, section), name)
        if not low <= value <= high:
            raise refuse(key, f"{value} is outside {low} to {high}", f"set a value from {low} to {high}")
    if config.node.company and not _COMPANY.fullmatch(config.node.company):
        raise refuse(
            "node.company", f"{config.node.company[:40]!r} is not a company id", "use the id from `hansa init`"
        )
    used: dict[Address, str] = {}
    for section in ("api", "ops", "peers"):
        key = f"{section}.listen"
        try:
            address = parse_address(getattr(config, section).listen)
        except AddressMalformed as error:
            raise refuse(key, str(error), 'write it as "127.0.0.1:7400"') from None
        if address in used and address.port and (section != "ops" or config.ops.enabled):
            raise refuse(key, f"{address} is also {used[address]}", "give each listener a port of its own")
        used[address] = key
    for company, text in config.peers.addresses.items():
        if not _COMPANY.fullmatch(company):
            raise refuse("peers.addresses", f"{company[:40]!r} is not a company id", "use the ids of the directory")
        try:
            parse_address(text)
        except AddressMalformed as error:
            raise refuse("peers.addresses", str(error), 'write it as "node.example.com:7401"') from None
    for token, rate in config.api.rates.items():
        if not all(1 <= value <= _RATE_MAX for value in rate):
            raise refuse("api.rates", f"{token[:40]!r} has {list(rate)}", f"set two numbers from 1 to {_RATE_MAX}")
    if bool(config.api.tls_certificate) != bool(config.api.tls_key):
        raise refuse(
            "api.tls_certificate", "certificate and key belong together", "set api.tls_certificate and api.tls_key"
        )
    if not config.api_address.loopback and not config.api.tls_certificate:
        raise refuse(
            "api.listen",
            f"{config.api.listen} can be reached from other machines without TLS",
            "set api.tls_certificate and api.tls_key, or listen on 127.0.0.1 behind a proxy",
        )
    if config.ops.enabled and config.node.development is False and not config.ops_address.loopback:
        # Metrics are not secret from the company's own network, but nothing there asks who is reading.
        _private(config, sources)
    if config.node.unlock == "environment" and not config.node.development:
        raise refuse(
            "node.unlock",
            "a passphrase in the environment is for development networks",
            'set "file", "credential" or "prompt"',
        )


def _private(config: NodeConfig, sources: Mapping[str, str]) -> None:
    """Refuse an operations listener on a public or unspecified address: it has no login."""
    host = config.ops_address.host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return  # a name: the operator's own choice
    if address.is_unspecified or address.is_global:
        raise ConfigError(
            sources.get("ops.listen", "default"),
            "ops.listen",
            f"{host} may be reached from anywhere, and this listener has no login",
            "listen on 127.0.0.1 or on an address of the company's own network",
        )


def _absolute(path: Path, key: str, value: Any) -> Any:
    """Resolve a relative path against the folder of its file; `~` is the home folder."""
    if key not in _PATHS or not isinstance(value, str) or not value:
        return value
    return str((path.absolute().parent / Path(value).expanduser()).resolve())


def _keys_of(section: str) -> tuple[str, ...]:
    return SECTIONS[section].__struct_fields__


def _all_keys() -> list[str]:
    return [f"{section}.{key}" for section in SECTIONS for key in _keys_of(section)]


def _suggest(wrong: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(wrong, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
