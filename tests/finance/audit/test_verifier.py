"""The offline verifier: alone in its environment, and sensitive to every byte (F78, T07, T18)."""

from __future__ import annotations

import random
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from finance.audit.pack import PackBody
from finance.audit.verifier import Failure, verify
from tests.finance.audit.world import build_pack

VERIFIER = Path(__file__).resolve().parent.parent.parent.parent / "finance" / "audit" / "verifier.py"


@pytest.fixture(scope="module")
def pack() -> tuple[bytes, bytes]:
    return build_pack()


def test_f77_a_good_pack_holds(pack: tuple[bytes, bytes]) -> None:
    summary = verify(*pack)
    assert summary["verified"] and summary["rows"] >= 3 and summary["events"] >= 2
    assert summary["journal_entries"] >= 1 and summary["signers"]


@pytest.mark.control("F78")
def test_f78_a_change_of_any_byte_is_detected_and_named(pack: tuple[bytes, bytes]) -> None:
    data, genesis = pack
    draw = random.Random(78)
    places = sorted({*range(40), *draw.sample(range(len(data)), 400), *range(len(data) - 100, len(data))})
    for place in places:
        changed = data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]
        with pytest.raises(Failure) as caught:
            verify(changed, genesis)
        assert caught.value.line and caught.value.field and caught.value.reason


def test_f78_a_pack_cut_short_or_followed_by_bytes_is_refused(pack: tuple[bytes, bytes]) -> None:
    data, genesis = pack
    for changed in (data[:-1], data + b"\x00", data[:20], b"", b"HANSAPACK1\n"):
        with pytest.raises(Failure):
            verify(changed, genesis)


def test_p85_the_founders_vouch_for_the_members_that_sign_the_head() -> None:
    data, genesis = build_pack(rotated=True)
    summary = verify(data, genesis)
    assert summary["epoch"] == 1 and summary["members"] == 4 and summary["rows"] >= 3
    assert summary["height"] == verify(*build_pack())["height"]


@pytest.mark.control("P85")
def test_p85_a_change_of_any_byte_of_an_epoch_end_is_detected() -> None:
    data, genesis = build_pack(rotated=True)
    draw = random.Random(85)
    start = data.index(b"hansa") if b"hansa" in data else len(data) - 2_500
    for place in draw.sample(range(max(start, len(data) - 2_500), len(data)), 200):
        with pytest.raises(Failure):
            verify(data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :], genesis)


def test_p85_a_pack_without_its_epoch_ends_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The members of a later epoch cannot be put in place of the founders, nor the founders sign for them."""
    monkeypatch.setattr("tests.finance.audit.world.PackBody", lambda **fields: PackBody(**{**fields, "epochs": ()}))
    with pytest.raises(Failure, match="other members"):
        verify(*build_pack(rotated=True))


def test_another_genesis_proves_nothing(pack: tuple[bytes, bytes]) -> None:
    data, _ = pack
    _, other = build_pack(seed=2)
    with pytest.raises(Failure, match="chain id"):
        verify(data, other)


def test_f78_runs_by_its_path_with_msgpack_and_pynacl_alone(pack: tuple[bytes, bytes], tmp_path: Path) -> None:
    """Make an environment that holds only these two packages (and what PyNaCl itself needs), without any network."""
    home = tmp_path / "env"
    venv.EnvBuilder(with_pip=False, symlinks=True).create(home)
    python = home / "bin" / "python"
    site = Path(
        subprocess.run(
            [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    )
    here = Path(sysconfig.get_path("platlib"))
    wanted = ["msgpack", "nacl", "cffi", "pycparser", *[path.name for path in here.glob("_cffi_backend*")]]
    wanted += [path.name for path in here.glob("cffi.libs")]
    for name in wanted:
        if (here / name).exists():
            (site / name).symlink_to(here / name)
    data, genesis = pack
    (tmp_path / "a.hansapack").write_bytes(data)
    (tmp_path / "genesis.hansa").write_bytes(genesis)
    alone = [
        str(python),
        "-I",
        str(VERIFIER),
        str(tmp_path / "a.hansapack"),
        "--genesis",
        str(tmp_path / "genesis.hansa"),
    ]
    missing = subprocess.run([str(python), "-I", "-c", "import msgspec"], capture_output=True, check=False)
    assert missing.returncode != 0, "the environment holds nothing of ours"
    done = subprocess.run(alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "PROVEN" in done.stdout and "Limits" in done.stdout
    (tmp_path / "a.hansapack").write_bytes(data[:-7] + bytes([data[-7] ^ 1]) + data[-6:])
    done = subprocess.run(alone, capture_output=True, text=True, check=False)
    assert done.returncode == 10
    assert "NOT PROVEN" in done.stderr and "Next:" in done.stderr


def test_the_verifier_names_no_module_of_ours() -> None:
    text = VERIFIER.read_text(encoding="utf-8")
    imported = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    for line in imported:
        assert line.split()[1].split(".")[0] in {*sys.stdlib_module_names, "__future__", "msgpack", "nacl"}, line
