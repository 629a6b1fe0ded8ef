"""The wheel holds everything a node needs and nothing else (architecture section 12)."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("cli", "simulator", "node", "finance", "consensus", "contracts", "ledger")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--disable-pip-version-check", "-w", str(target), str(ROOT)],
        check=True, capture_output=True,
    )  # fmt: skip
    (found,) = target.glob("hansa-*.whl")
    return found


def test_the_wheel_holds_the_seven_packages_and_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == set(PACKAGES), "tests, configs and scripts stay out of the import path"
    for wanted in (
        "contracts/library/settlement/invoices.contract",
        "finance/templates/prc_1.toml",
        "finance/formats/messages.toml",
        "finance/audit/verifier.py",
        "node/web/static/vendor/htmx.min.js",
        "node/web/static/vendor/vendor.lock.json",
        "node/web/locales/zh-CN.json",
        "node/web/templates/invoice.html",
        "cli/samples/01-falkenberg-invoice-ubl.xml",
        *(f"{package}/py.typed" for package in PACKAGES),
    ):
        assert wanted in names, wanted


def test_the_unpacked_wheel_runs_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import cli, contracts.library as library, contracts.runtime as runtime, ledger.money as money;"
        "print(cli.__file__); programs = runtime.program(library.sources(), dict(money.ISO_4217));"
        "print(len(programs.interfaces))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        check=True,
    )
    where, count = done.stdout.split()
    assert where.startswith(str(site)) and int(count) == 5


def test_no_other_distribution_owns_our_names() -> None:
    owners = packages_distributions()
    for package in PACKAGES:
        assert set(owners.get(package, ["hansa"])) <= {"hansa"}
