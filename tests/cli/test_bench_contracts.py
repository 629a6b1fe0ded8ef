"""`hansa bench --contracts`: every promised figure is there and fits the others; nothing is said about speed (E19)."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cli.bench import contracts
from cli.commands.bench import command
from contracts.library import ORDER
from contracts.limits import SOURCE_BYTES, TX_GAS
from contracts.runtime import load
from ledger.money import ISO_4217


@pytest.fixture(scope="module")
def found() -> dict[str, object]:
    patch = pytest.MonkeyPatch()
    try:
        patch.setattr(contracts, "ROUNDS", 1)
        patch.setattr(contracts, "CALLS", 5)
        patch.setattr(contracts, "SIZES", (4_096, 8_192))
        done = CliRunner().invoke(command, ["--contracts", "-o", "json"])
    finally:
        patch.undo()
    assert done.exit_code == 0, done.output
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_e19_calls_of_settlement_risk_and_netting(found) -> None:
    names = [item["call"] for item in found["calls"]]
    assert {name.partition(".")[0] for name in names} == {name for name, _ in ORDER}
    for item in found["calls"]:
        assert 0 < item["gas"] < TX_GAS
        assert min(item["us"], item["us_in_memory"], item["us_program"]) > 0
        assert item["call_to_verify_ratio"] == pytest.approx(item["us"] / found["verify_us"], rel=0.02, abs=0.001)


def test_g3_the_price_of_gas_is_measured_over_many_mixes(found) -> None:
    assert len(found["ns_per_gas"]) >= 10
    spent = [value for name, value in found["ns_per_gas"].items() if name != contracts.ROWS_MIX]
    assert found["ns_per_gas_spread"] == pytest.approx(max(spent) / min(spent), rel=0.05)
    for name, value in found["full_gas_ms"].items():
        assert value == pytest.approx(found["ns_per_gas"][name] * TX_GAS / 1e6, rel=0.05)


def test_e19_g3_each_aim_is_judged_by_the_dearest_figure(found) -> None:
    aims = found["aims"]
    assert list(aims) == list(contracts.AIMS)
    assert aims["call_to_verify_ratio"]["found"] == max(item["call_to_verify_ratio"] for item in found["calls"])
    assert aims["in_memory_ratio"]["found"] == max(item["in_memory_ratio"] for item in found["calls"])
    assert aims["ns_per_gas_spread"]["found"] == pytest.approx(found["ns_per_gas_spread"], abs=0.01)
    assert aims["full_gas_ms"]["found"] == pytest.approx(max(found["full_gas_ms"].values()), abs=0.01)
    assert aims["compile_ms"]["found"] == pytest.approx(found["compile_ms"]["8192"], abs=0.1)
    for name, item in aims.items():
        assert item["at_most"] == contracts.AIMS[name]
        assert item["met"] is (item["found"] <= item["at_most"])


def test_the_rest_is_there(found) -> None:
    assert found["schema"] == contracts.SCHEMA == "hansa.bench.contracts/1"
    assert set(found["compile_ms"]) == {"4096", "8192"} and all(spent > 0 for spent in found["compile_ms"].values())
    assert set(found["memory_kb"]) == {name for name, _ in ORDER}
    assert all(size > 0 for size in found["memory_kb"].values())
    assert {"get", "put", "decide", "company_has"} <= set(found["host_us"])
    assert "Python" in found["machine"]


def test_the_measured_source_fills_its_size() -> None:
    source = contracts.source_of_size(SOURCE_BYTES)
    assert SOURCE_BYTES - 1_024 < len(source) <= SOURCE_BYTES
    assert len(load(source, {}, ISO_4217).interface.actions) > 80
