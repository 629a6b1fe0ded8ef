"""Configuration: precedence, and a refusal that names file, key and fix (U5, U8)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from node.config import SECTIONS, Address, AddressMalformed, ConfigError, load_config, parse_address

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
MINIMAL = '[node]\ndata_dir = "data"\n'


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def make(text: str, name: str = "node.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


def test_defaults_and_relative_paths(write: Callable[..., Path], tmp_path: Path) -> None:
    loaded = load_config([write(MINIMAL)], {})
    config = loaded.config
    assert config.data_dir == tmp_path / "data"
    assert config.keystore_dir == tmp_path / "data" / "keystore"
    assert config.genesis_file == tmp_path / "data" / "genesis.hansa"
    assert config.directory_file == tmp_path / "data" / "directory.toml"
    assert config.api_address == Address("127.0.0.1", 7400) and config.api_address.loopback
    assert config.ops_address == Address("127.0.0.1", 7402) and config.peers_address.port == 7401
    assert loaded.explain("api.listen") == ("127.0.0.1:7400", "default")
    assert loaded.explain("node.data_dir") == (str(tmp_path / "data"), str(tmp_path / "node.toml"))


def test_flag_wins_over_environment_over_files(write: Callable[..., Path]) -> None:
    """U5, one source after the other."""
    system = write(MINIMAL + "[storage]\nmin_free_mib = 21\ndocuments_max_gib = 3\nledger_max_gib = 5\n", "system.toml")
    profile = write("[storage]\nmin_free_mib = 22\ndocuments_max_gib = 4\n", "profile.toml")
    environment = {"HANSA_STORAGE_MIN_FREE_MIB": "23", "HANSA_NODE_DEVELOPMENT": "yes", "HANSA_API_HOSTS": "a, b"}
    loaded = load_config([system, profile], environment, {"storage.min_free_mib": 24})
    storage = loaded.config.storage
    assert (storage.ledger_max_gib, storage.documents_max_gib, storage.min_free_mib) == (5, 4, 24)
    assert loaded.config.node.development and loaded.config.api.hosts == ("a", "b")
    assert loaded.sources["storage.ledger_max_gib"] == str(system)
    assert loaded.sources["storage.documents_max_gib"] == str(profile)
    assert loaded.sources["storage.min_free_mib"] == "command line"
    assert loaded.sources["node.development"] == "HANSA_NODE_DEVELOPMENT"


def test_foreign_variables_are_left_alone_and_odd_ones_told(write: Callable[..., Path]) -> None:
    loaded = load_config([write(MINIMAL)], {"HANSA_LANG": "en", "PATH": "x", "HANSA_API_LISTENN": "x"})
    assert loaded.warnings == ("HANSA_API_LISTENN is not a setting of the node and was ignored",)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("a =", "", "it is not TOML"),
        ("", "node.data_dir", "it is missing"),
        ("[nod]\n", "nod", "did you mean node?"),
        ("node = 1\n", "node", "write it as a section"),
        ('[node]\ndatadir = "x"\n', "node.datadir", "did you mean node.data_dir?"),
        ("[node]\ndata_dir = 1\n", "node.data_dir", "expected `str`"),
        (MINIMAL + 'log_level = "loud"\n', "node.log_level", "choose one of debug, info, warning, error"),
        (MINIMAL + 'unlock = "environment"\n', "node.unlock", "development networks"),
        (MINIMAL + 'company = "acme"\n', "node.company", "is not a company id"),
        (MINIMAL + '[api]\nlisten = "7400"\n', "api.listen", "is not host:port"),
        (MINIMAL + '[api]\nlisten = "127.0.0.1:7402"\n', "ops.listen", "is also api.listen"),
        (MINIMAL + '[api]\nlisten = "0.0.0.0:7400"\n', "api.listen", "without TLS"),
        (MINIMAL + '[api]\ntls_key = "x"\n', "api.tls_certificate", "belong together"),
        (MINIMAL + '[ops]\nlisten = "0.0.0.0:7402"\n', "ops.listen", "no login"),
        (MINIMAL + '[peers.addresses]\nacme = "a:1"\n', "peers.addresses", "ids of the directory"),
        (MINIMAL + f'[peers.addresses]\n{"c" + "a" * 26} = "a"\n', "peers.addresses", "node.example.com:7401"),
        (MINIMAL + f"[peers.addresses]\n{'c' + 'a' * 26} = 1\n", "peers.addresses", "expected `str`"),
        (MINIMAL + "[storage]\ndocuments_max_gib = 0\n", "storage.documents_max_gib", "outside 1 to 16384"),
        (MINIMAL + "[storage]\ndocuments_max_gib = 8.5\n", "storage.documents_max_gib", "expected `int`"),
        (MINIMAL + "[storage]\ndocuments_max_gib = true\n", "storage.documents_max_gib", "expected `int`"),
    ],
)
def test_every_refusal_names_file_key_and_fix(write: Callable[..., Path], text: str, key: str, words: str) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as refusal:
        load_config([path], {})
    error = refusal.value
    assert error.key == key and words in str(error) and error.fix
    assert error.source in (str(path), "default")


def test_unreadable_files_are_named(tmp_path: Path, write: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match="name an existing file"):
        load_config([tmp_path / "nothing.toml"], {})
    path = write("")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config([path], {})
    path.write_bytes(b"#" * 300_000)
    with pytest.raises(ConfigError, match="at most"):
        load_config([path], {})


def test_environment_and_flags_are_checked_too(write: Callable[..., Path]) -> None:
    path = write(MINIMAL)
    for environment, words in (
        ({"HANSA_NODE_DEVELOPMENT": "maybe"}, "is not true or false"),
        ({"HANSA_STORAGE_MIN_FREE_MIB": "٣"}, "is not a whole number"),
        ({"HANSA_STORAGE_MIN_FREE_MIB": "99999999"}, "outside 16 to 1048576"),
    ):
        with pytest.raises(ConfigError, match=words) as refusal:
            load_config([path], environment)
        assert refusal.value.source in environment
    with pytest.raises(ConfigError, match=r"did you mean api\.listen\?"):
        load_config([path], {}, {"api.lissen": "x"})
    with pytest.raises(ConfigError, match="there is no such key"):
        load_config([path], {}).explain("node.colour")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("node.acme.example:7401", Address("node.acme.example", 7401)),
        ("[2001:db8::1]:65535", Address("2001:db8::1", 65535)),
        ("localhost:1", Address("localhost", 1)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address and str(address) == text


@pytest.mark.parametrize(
    "text", ["", ":1", "a", "a:", "a:65536", "a:-1", "a:1 ", "a:01", "-a:1", "::1:5", "[x]:1", "a b:1", "a:١"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressMalformed):
        parse_address(text)


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.toml")), ids=lambda path: path.name)
def test_every_example_configuration_is_accepted(path: Path) -> None:
    assert load_config([path], {}).warnings == ()


def test_the_example_for_a_company_explains_every_key() -> None:
    """Style 21: the documentation of a setting is compared with the code."""
    text = (CONFIGS / "company.toml").read_text(encoding="utf-8")
    for section, kind in SECTIONS.items():
        part = re.split(rf"^\[{section}\]$", text, flags=re.M)[1]
        part = re.split(r"^\[\w+\]$", part, flags=re.M)[0]
        for field in msgspec.structs.fields(kind):
            assert re.search(rf"^(# )?(\[{section}\.)?{field.name}(\]| = )", part, flags=re.M), (
                f"{section}.{field.name}"
            )
