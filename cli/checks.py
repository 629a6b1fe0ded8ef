"""What can be wrong on one machine, check by check (U65). Each finding names cause and repair.

Checks only read. What belongs to a stopped node (ports, store) is looked at while its lock is free; what belongs to a
running one is asked from it. Nothing is asked from a person: a keystore with a passphrase is not opened.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import ssl
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.exit_codes import Exit
from cli.failure import CommandFailed

if TYPE_CHECKING:
    from node.config import Address, NodeConfig
    from node.identity.directory import Directory

OK, WARNING, FAULT = "ok", "warning", "fault"
PYTHON: Final = ((3, 11), (3, 14))
"""First version that works, and first one that is not tried."""
PACKAGES: Final = (
    "aiohttp", "click", "cryptography", "jinja2", "lmdb", "lxml", "msgpack", "msgspec", "pynacl", "python-stdnum",
    "structlog",
)  # fmt: skip
CLOCK_SLACK_MS: Final = 5_000
CONNECT_TIMEOUT_S: Final = 2.0
DAY_MS: Final = 86_400_000
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result. `repair` is empty when nothing is to be done."""

    check: str
    level: str
    text: str
    repair: str = ""


@dataclass(slots=True, kw_only=True)
class Subject:
    """What the checks look at; filled as they go."""

    home: Path | None
    status: Mapping[str, Any] | None
    """Answer of /v1/status, None when no node answers."""
    network: Mapping[str, Any] | None
    """Answer of /v1/network, None without a token."""
    api_problem: str = ""
    config: NodeConfig | None = None
    document: Any = None
    chain: bytes = b""
    directory: Directory | None = None
    running: bool = False
    now_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)


def examine(subject: Subject) -> list[Finding]:
    """Run all checks in order; a check that cannot be made says so."""
    found = list(_versions(subject))
    if subject.home is not None:
        checks: tuple[Callable[[Subject], Iterator[Finding]], ...] = (
            _configuration, _permissions, _genesis, _keys, _disk, _ports, _certificates, _store,
        )  # fmt: skip
        for check in checks:
            found += check(subject)
    found += _clock(subject)
    found += _peers(subject)
    return found


# -- this program ----------------------------------------------------------------------------------------------


def _versions(subject: Subject) -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    low, high = PYTHON
    running = ".".join(map(str, sys.version_info[:3]))
    if not low <= sys.version_info[:2] < high:
        yield Finding(check="versions", level=FAULT, text=f"Python {running}", repair="use Python 3.11, 3.12 or 3.13")
    missing: list[str] = []
    for name in PACKAGES:
        try:
            version(name)
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding(
            check="versions", level=FAULT, text=f"packages are missing: {', '.join(missing)}",
            repair="install them by the lock: pip install --require-hashes -r requirements.lock",
        )  # fmt: skip
    from ledger.block import PROTOCOL_VERSION
    from node.service import VERSION

    status = subject.status
    if status is None:
        yield Finding(
            check="versions", level=OK, text=f"Hansa {VERSION}, protocol {PROTOCOL_VERSION}, Python {running}"
        )
    elif status["protocol"] != PROTOCOL_VERSION or status["version"] != VERSION:
        yield Finding(
            check="versions", level=WARNING,
            text=f"the node runs version {status['version']}, protocol {status['protocol']}; "
            f"this program is {VERSION}, protocol {PROTOCOL_VERSION}",
            repair="install the same version on both",
        )  # fmt: skip
    else:
        yield Finding(check="versions", level=OK, text=f"Hansa {VERSION}, protocol {PROTOCOL_VERSION}, node the same")


# -- files -----------------------------------------------------------------------------------------------------


def _configuration(subject: Subject) -> Iterator[Finding]:
    from node.config import ConfigError, load_config

    home = subject.home or Path()
    try:
        loaded = load_config([home / "node.toml"], os.environ)
    except ConfigError as error:
        yield Finding(
            check="configuration", level=FAULT, text=f"{error.source}: {error.key}: {error.reason}", repair=error.fix
        )
        return
    subject.config = loaded.config
    subject.running = _is_locked(loaded.config.data_dir / "lock")
    _drop_foreign_answer(subject, loaded.config.node.company)
    for warning in loaded.warnings:
        yield Finding(check="configuration", level=WARNING, text=warning, repair="unset it")
    state = "running" if subject.running else "not running"
    yield Finding(check="configuration", level=OK, text=f"{home / 'node.toml'} is right; the node is {state}")


def _drop_foreign_answer(subject: Subject, company: str) -> None:
    """Somebody else's node may answer where this home's node would listen; what it says is not about this home."""
    if subject.status is not None and company and subject.status["company"]["id"] != company:
        subject.api_problem = f"the node of {subject.status['company']['name']} answers there"
        subject.status = subject.network = None


def _permissions(subject: Subject) -> Iterator[Finding]:
    home = subject.home or Path()
    before = 0
    keystore = subject.config.keystore_dir if subject.config else home / "keystore"
    folders = [home, keystore, home / "officers", home / "people"]
    secrets = [home / "keystore.secret", home / "people.secret", home / "tls.key"]
    if subject.config and subject.config.node.key_file:
        secrets.append(Path(subject.config.node.key_file))
    files = [path for folder in folders[1:] if folder.is_dir() for path in sorted(folder.glob("*.json"))]
    for path in [*folders, *dict.fromkeys(secrets), *files]:
        try:
            status = path.lstat()
        except OSError:
            continue
        before += 1
        mode = "700" if stat.S_ISDIR(status.st_mode) else "600"
        if stat.S_ISLNK(status.st_mode):
            yield Finding(
                check="permissions", level=FAULT, text=f"{path} is a link", repair="put the file itself there"
            )
        elif status.st_mode & 0o077:
            yield Finding(
                check="permissions", level=FAULT, text=f"others can reach {path} (mode {status.st_mode & 0o777:o})",
                repair=f"chmod {mode} {path}",
            )  # fmt: skip
        elif status.st_uid not in (os.geteuid(), 0):
            yield Finding(
                check="permissions", level=FAULT, text=f"{path} belongs to user {status.st_uid}",
                repair=f"chown it to the user that runs the node: chown {os.geteuid()} {path}",
            )  # fmt: skip
        else:
            before -= 1
    if not before:
        yield Finding(check="permissions", level=OK, text="keys and secrets are readable by their owner only")


def _genesis(subject: Subject) -> Iterator[Finding]:
    from node.app import StartRefused, read_genesis
    from node.identity.directory import DirectoryRefused, load_directory

    config = subject.config
    if config is None:
        return
    if not config.genesis_file.exists():
        yield Finding(
            check="genesis", level=FAULT, text=f"there is no {config.genesis_file}",
            repair="hansa genesis install FILE puts the file of your network there",
        )  # fmt: skip
        return
    try:
        subject.document, subject.chain = read_genesis(config.genesis_file)
    except StartRefused as error:
        text, _, repair = str(error).rpartition("; ")
        yield Finding(check="genesis", level=FAULT, text=text, repair=repair)
        return
    document = subject.document
    if subject.now_ms + CLOCK_SLACK_MS < document.time_ms:
        yield Finding(
            check="clock", level=FAULT, text="the clock of this machine is before the founding of the network",
            repair="set it (timedatectl set-ntp true, or chrony)",
        )  # fmt: skip
    if document.production and config.node.development:
        yield Finding(
            check="genesis", level=FAULT, text="node.development is true on a production network",
            repair="set node.development to false in node.toml",
        )  # fmt: skip
    if document.production:
        yield from _beside_keys(subject.home or Path(), config)
    if config.node.company and config.node.company not in [item.company_id for item in document.companies]:
        yield Finding(
            check="genesis", level=FAULT, text=f"company {config.node.company} is not in {config.genesis_file}",
            repair="this is the genesis of another network: install the right one",
        )  # fmt: skip
    try:
        subject.directory = load_directory(config.directory_file, document.companies, document.nodes, ahead=True)
    except DirectoryRefused as error:
        yield Finding(
            check="genesis",
            level=FAULT,
            text=str(error),
            repair="use the directory.toml that came with the genesis file",
        )
        return
    kind = "production" if document.production else "development"
    yield Finding(
        check="genesis", level=OK,
        text=f"{document.network} ({kind}), {len(document.companies)} companies, chain {subject.chain.hex()[:16]}…",
    )  # fmt: skip


def _beside_keys(home: Path, config: NodeConfig) -> Iterator[Finding]:
    """On a production network root keys are offline, and a secret does not lie beside what it opens (S16, S34)."""
    if list((home / "officers").glob("*.json")):
        yield Finding(
            check="keys", level=WARNING,
            text=f"root keys of the company lie on the node's machine ({home / 'officers'})",
            repair="move each to a machine of its officer; the node never needs them",
        )  # fmt: skip
    for path in (
        Path(config.node.key_file) if config.node.key_file else home / "keystore.secret",
        home / "people.secret",
    ):
        if path.exists() and home in path.resolve().parents:
            yield Finding(
                check="keys", level=WARNING, text=f"{path} lies in the folder whose keys it opens: one copy has both",
                repair="move it out of the home and name it with node.key_file, or use a systemd credential",
            )  # fmt: skip


def _keys(subject: Subject) -> Iterator[Finding]:
    from node.home import CONSENSUS_KEY
    from node.identity.keystore import KeystoreError, read_public

    config = subject.config
    if config is None:
        return
    files = sorted(config.keystore_dir.glob("*.json")) if config.keystore_dir.is_dir() else []
    publics: dict[str, bytes] = {}
    try:
        for path in files:
            publics[path.stem] = read_public(path)[2]
    except KeystoreError as error:
        yield Finding(check="keys", level=FAULT, text=str(error), repair="restore the keystore from your backup")
        return
    if CONSENSUS_KEY not in publics:
        yield Finding(
            check="keys", level=FAULT, text=f"there is no consensus key in {config.keystore_dir}",
            repair="set node.keystore to the folder that hansa init made, or restore it from your backup",
        )  # fmt: skip
        return
    if subject.document is not None:
        known = [key.public_key for node in subject.document.nodes for key in node.consensus]
        founded = config.node.company in ("", *(company.company_id for company in subject.document.companies))
        founded = founded and not config.node.keys_replaced
        if founded and publics[CONSENSUS_KEY] not in known:  # one that joined later is known to the chain alone
            yield Finding(
                check="keys", level=FAULT,
                text=f"the consensus key {publics[CONSENSUS_KEY].hex()[:16]}… is not registered in the genesis file",
                repair="use the keystore whose card the founders received",
            )  # fmt: skip
    try:
        opened = _open_keystore(config)
    except CommandFailed as failure:
        yield Finding(check="keys", level=FAULT, text=failure.text, repair=failure.next_step)
        return
    how = "open" if opened is not None else "are there; whether the passphrase opens them was not tried"
    if opened is not None:
        opened.close()
    yield Finding(check="keys", level=OK, text=f"{len(files)} keys {how}")


def _open_keystore(config: NodeConfig) -> Any:
    """Return the open keystore, or None where only a prompt could open it."""
    from node.identity.keystore import Keystore, KeystoreError
    from node.identity.unlock import UnlockFailed, find_secret

    if config.node.unlock in ("prompt", "environment") or (
        config.node.unlock == "credential" and "CREDENTIALS_DIRECTORY" not in os.environ
    ):
        return None
    try:
        secret = find_secret(
            config.node.unlock,
            key_file=Path(config.node.key_file) if config.node.key_file else None,
            development=config.node.development,
            environment={name: value for name, value in os.environ.items() if name != "HANSA_KEY_FILE"},
            prompt=None,
        )
        return Keystore.open(config.keystore_dir, secret)
    except UnlockFailed as error:
        raise CommandFailed(Exit.FINDINGS, str(error), "name the right file with node.key_file") from None
    except KeystoreError as error:
        raise CommandFailed(
            Exit.FINDINGS, str(error), "name the key file that belongs to this keystore with node.key_file"
        ) from None


def _disk(subject: Subject) -> Iterator[Finding]:
    from node.store.places import free_bytes

    config = subject.config
    if config is None:
        return
    if not config.data_dir.is_dir():
        yield Finding(
            check="disk", level=FAULT, text=f"there is no {config.data_dir}",
            repair="set node.data_dir to the folder that hansa init made; never to a restored copy",
        )  # fmt: skip
        return
    free, least = free_bytes(config.data_dir), config.storage.min_free_mib * MIB
    text = f"{free // MIB:,} MiB are free for {config.data_dir}"
    if free < least:
        yield Finding(
            check="disk", level=FAULT, text=f"{text}, {least // MIB:,} are needed", repair="free space on this disk"
        )
    elif free < 4 * least:
        yield Finding(check="disk", level=WARNING, text=text, repair="make room soon: the node stops when it is full")
    else:
        yield Finding(check="disk", level=OK, text=text)
    if not os.access(config.data_dir, os.W_OK):
        yield Finding(
            check="disk",
            level=FAULT,
            text=f"{config.data_dir} cannot be written",
            repair="check its owner and its mount",
        )


# -- the node --------------------------------------------------------------------------------------------------


def _ports(subject: Subject) -> Iterator[Finding]:
    config = subject.config
    if config is None:
        return
    if subject.running:
        if subject.status is not None:
            yield Finding(check="ports", level=OK, text=f"the node answers at {config.api.listen}")
        elif not subject.api_problem:
            yield Finding(check="ports", level=OK, text=f"the node runs; it was not asked at {config.api.listen}")
        else:
            yield Finding(
                check="ports", level=FAULT, text=f"the node runs and does not answer: {subject.api_problem}",
                repair="look at its log; hansa node status --api URL asks another address",
            )  # fmt: skip
        return
    listeners = [("api.listen", config.api_address), ("peers.listen", config.peers_address)]
    if config.ops.enabled:
        listeners.append(("ops.listen", config.ops_address))
    taken = False
    for key, address in listeners:
        problem = _bind_problem(address)
        if problem:
            taken = True
            yield Finding(
                check="ports", level=FAULT, text=f"{key}: {address} cannot be listened on: {problem}",
                repair=f"stop the process that uses it, or set {key} to another address",
            )  # fmt: skip
    if not taken:
        yield Finding(check="ports", level=OK, text=f"{', '.join(str(address) for _, address in listeners)} are free")


def _certificates(subject: Subject) -> Iterator[Finding]:
    from node.identity.certificate import CertificateMalformed, facts_of
    from node.identity.keystore import KeystoreError
    from node.identity.tls import WARN_DAYS, identities, own_certificate

    config = subject.config
    if config is None:
        return
    folder = config.keystore_dir.parent
    found: list[tuple[str, bytes]] = []
    try:
        first, *later = identities(folder, b"")
        found.append(("this node", own_certificate(later[-1] if later else first)))
        if subject.document is not None:
            pins = {pin.spki_sha256 for node in subject.document.nodes for pin in node.tls}
            founders = [node.company_id for node in subject.document.nodes]
            founded = config.node.company in founders and not config.node.keys_replaced
            if founded and facts_of(own_certificate(first)).spki_sha256 not in pins:
                yield Finding(
                    check="certificates", level=FAULT, text=f"{first.certificate} is not the registered one",
                    repair="restore the certificate that hansa init made; the others accept no other",
                )  # fmt: skip
    except (KeystoreError, CertificateMalformed) as error:
        yield Finding(check="certificates", level=FAULT, text=str(error), repair="restore tls.crt and tls.key")
    api_certificate = _api_certificate(config, folder)
    if api_certificate is not None:
        try:
            pem = api_certificate.read_text(encoding="ascii")
            begin, end = pem.index("-----BEGIN CERTIFICATE"), pem.index("-----END CERTIFICATE-----") + 25
            found.append(("the API", ssl.PEM_cert_to_DER_cert(pem[begin:end])))
        except (OSError, ValueError) as error:
            yield Finding(
                check="certificates", level=FAULT, text=f"{api_certificate} cannot be read ({error})",
                repair="name a PEM certificate in api.tls_certificate" if config.api.tls_certificate
                else "remove the file; the node makes a new one when it starts",
            )  # fmt: skip
    if subject.document is not None:
        names = subject.directory.names if subject.directory else {}
        for node in subject.document.nodes:
            name = names.get(node.company_id, node.company_id)
            if not config.node.company or node.company_id != config.node.company:
                found += [(name, pin.certificate_der) for pin in node.tls]
    shortest = 10_000
    for who, der in found:
        try:
            days = (facts_of(der).not_after_ms - subject.now_ms) // DAY_MS
        except CertificateMalformed as error:
            yield Finding(check="certificates", level=FAULT, text=f"{who}: {error}", repair="ask for a new certificate")
            continue
        shortest = min(shortest, days)
        if days < WARN_DAYS[0]:
            past = f"ended {-days} days ago" if days < 0 else f"ends in {days} days"
            api = who == "the API"
            yield Finding(
                check="certificates", level=FAULT if api and days < 0 else WARNING,
                text=f"the certificate of {who} {past}",
                repair=("renew it" if config.api.tls_certificate else "start the node anew: it makes a new one") if api
                else "hansa company rotate --tls renews it; links go on meanwhile: the registered key decides, no date",
            )  # fmt: skip
    yield Finding(check="certificates", level=OK, text=f"{len(found)} certificates, the first ends in {shortest} days")


def _api_certificate(config: NodeConfig, folder: Path) -> Path | None:
    """Return the API's certificate: the one that is named, else the node's own, which is there once it was started."""
    if config.api.tls_certificate:
        return Path(config.api.tls_certificate)
    from node.identity.tls import API_CERTIFICATE_FILE

    own = folder / API_CERTIFICATE_FILE
    return own if own.exists() and not config.node.development else None


def _store(subject: Subject) -> Iterator[Finding]:
    config = subject.config
    if config is None or not config.data_dir.is_dir():
        return
    if not (config.data_dir / "journal" / "data.mdb").exists():
        yield Finding(
            check="store", level=FAULT,
            text=f"there is no journal in {config.data_dir}: this node can never vote again",
            repair="put the original disk back; never a copy. Without it the company needs a new consensus key",
        )  # fmt: skip
    if subject.running:
        reasons = [] if subject.status is None else [word for word in subject.status["not_ready"] if word in _BAD]
        for word in reasons:
            text = subject.status["sentence"] if word == "learner" and subject.status is not None else _BAD[word][0]
            yield Finding(check="store", level=FAULT, text=text, repair=_BAD[word][1])
        if not reasons and subject.status is not None:
            yield Finding(
                check="store", level=OK, text=f"the node stands at height {subject.status['height_executed']}"
            )
        return
    yield from _closed_store(subject, config)


_BAD: Final = {
    "behind": (
        "the others are ahead of this node, and none of the blocks between is on its way",
        "hansa node why says what to do",
    ),
    "halted": ("the node has halted", "its log names the reason; hansa node why shows it"),
    "learner": (
        "the node follows without a vote",
        "put no other copy of its data back; hansa node why names the reason, and only a new consensus key votes again",
    ),
}


def _closed_store(subject: Subject, config: NodeConfig) -> Iterator[Finding]:
    """Open the chain store of a stopped node, when its keys open without a prompt."""
    from node.identity.keystore import KeystoreError
    from node.store.errors import StoreError
    from node.store.ledger import ChainStore
    from node.store.places import DataDirectory

    if not (config.data_dir / "chain" / "data.mdb").exists():
        yield Finding(check="store", level=OK, text="the node has not run yet")
        return
    try:
        keystore = _open_keystore(config)
    except CommandFailed:
        return  # reported under keys
    if keystore is None or not subject.chain:
        yield Finding(check="store", level=OK, text="the store is there; it was not opened")
        return
    try:
        keys = {name: keystore.seal_keys(name) for name in ("blocks", "state", "indexes")}
        with DataDirectory(config.data_dir) as data:
            store = ChainStore.open(data.chain, keys, subject.chain, map_bytes=config.storage.ledger_max_gib << 30)
            height = store.tip.height
            store.close()
        yield Finding(check="store", level=OK, text=f"the chain store opens, at height {height}")
    except (StoreError, KeystoreError) as error:
        text, _, repair = str(error).partition("; ")
        yield Finding(check="store", level=FAULT, text=text, repair=repair or "restore the keystore from your backup")
    finally:
        keystore.close()


# -- time and others -------------------------------------------------------------------------------------------


def _clock(subject: Subject) -> Iterator[Finding]:
    from datetime import datetime

    if subject.status is None:
        return
    network = subject.network
    last = network["last_block"] if network else None
    behind_ms = 0
    if last:
        behind_ms = int(datetime.fromisoformat(last).timestamp() * 1000) - subject.now_ms
    if behind_ms > CLOCK_SLACK_MS or "clock" in subject.status["not_ready"]:
        yield Finding(
            check="clock", level=FAULT,
            text=f"the clock of this machine is behind the last block, by {max(0, behind_ms) / 1000:.0f} s",
            repair="set it (timedatectl set-ntp true, or chrony)",
        )  # fmt: skip
    elif last:
        yield Finding(check="clock", level=OK, text="not behind the last block, whose time most members agreed on")
    else:
        yield Finding(check="clock", level=OK, text="the node does not complain; there is no block to compare with")


def _peers(subject: Subject) -> Iterator[Finding]:
    status, network = subject.status, subject.network
    if status is not None:
        for member in network["members"] if network else ():
            if not member["self"] and not member["connected"]:
                problem = member["problem"] or "not yet"
                yield Finding(
                    check="peers", level=WARNING,
                    text=f"{member['company']['name']}: no connection ({problem}) {member['address']}".rstrip(),
                    repair="ask that company whether its node runs; check port and firewall on both sides",
                )  # fmt: skip
        level = OK if status["reachable"] >= status["quorum"] else FAULT
        yield Finding(
            check="peers",
            level=level,
            text=status["sentence"],
            repair="" if level == OK else "hansa node why says what is missing",
        )
        return
    if subject.directory is None or subject.config is None:
        return
    from node.config import parse_address

    addresses = dict(subject.directory.addresses) | dict(subject.config.peers.addresses)
    for company, text in sorted(addresses.items()):
        if company == subject.config.node.company:
            continue
        name = subject.directory.names.get(company, company)
        problem = _connect_problem(parse_address(text))
        if problem:
            yield Finding(
                check="peers", level=WARNING, text=f"{name} at {text}: {problem}",
                repair="ask that company whether its node runs; set peers.addresses if it has moved",
            )  # fmt: skip
        else:
            yield Finding(check="peers", level=OK, text=f"{name} at {text} can be reached")


# -- probes ----------------------------------------------------------------------------------------------------


def _is_locked(path: Path) -> bool:
    """Tell whether a running node holds the lock of its data directory; the file is only looked at."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _bind_problem(address: Address) -> str:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            return "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return ""


def _connect_problem(address: Address) -> str:
    try:
        with socket.create_connection((address.host, address.port), timeout=CONNECT_TIMEOUT_S):
            return ""
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()
