"""Scenario files are strict and explain themselves (M21, M29, M34)."""

from __future__ import annotations

from pathlib import Path

import pytest
from click import Context

from cli.__main__ import run as hansa
from cli.commands.sim import explore as explore_command
from simulator.__main__ import main
from simulator.errors import InvalidScenario
from simulator.report.text import story
from simulator.rng import Rng
from simulator.scenario import describe, load, shipped
from simulator.scenario.load import SWARM, catalogue, parse
from simulator.scenario.schema import json_schema
from simulator.scenario.units import bandwidth_bits, duration_ns, duration_text, ppm
from simulator.search.explore import scenario_of
from simulator.search.swarm import swarm
from simulator.workloads.base import pace
from simulator.world import World, compare

HEAD = 'name = "x"\n'


@pytest.mark.parametrize(
    ("text", "field", "hint"),
    [
        ('nam = "x"', "nam", "'name'"),
        (HEAD + "[network]\nnods = 4", "network.nods", "'nodes'"),
        (HEAD + '[network]\nnodes = "4"', "network.nodes", "int"),
        (HEAD + "[network]\nloss = 1.5", "network.loss", "between 0 and 1"),
        (HEAD + '[network]\ntopology = "moon"', "network.topology", "moon"),
        (HEAD + '[network]\njitter = "wild"', "network.jitter", "exponential"),
        (HEAD + '[network]\nbandwidth = "fast"', "network.bandwidth", "100Mbit"),
        (HEAD + "[network]\nnodes = 0", "network.nodes", "outside"),
        (HEAD + 'at = [{ t = "1s", do = "crsh", node = "acme" }]', "at[0].do", "'crash'"),
        (HEAD + 'at = [{ t = "1s", do = "crash", nod = "acme" }]', "at[0].nod", "'node'"),
        (HEAD + 'at = [{ t = "1s", do = "crash", node = "zeta" }]', "at[0]", "zeta"),
        (HEAD + 'at = [{ t = "soon", do = "crash", node = "acme" }]', "at[0].t", "250ms"),
        (
            HEAD + 'at = [{ t = "0s", do = "byzantine", node = "acme", behaviour = "rude" }]',
            "at[0].behaviour",
            "equivocate",
        ),
        (HEAD + "[consensus]\nt0 = 5", "consensus.t0", "known are"),
        (HEAD + "[consensus]\nt0_ms = 5", "consensus.t0_ms", "outside"),
        (HEAD + 'duration = "5"', "duration", "250ms"),
        (HEAD + 'workload = [{ kind = "kv", rate = "often" }]', "workload[0].rate", "poisson"),
        (HEAD + '[time]\nstart = "noon"', "time.start", "2026"),
        ("name = ", "", "TOML"),
    ],
)
def test_m21_errors_name_the_field_and_the_next_step(text: str, field: str, hint: str) -> None:
    with pytest.raises(InvalidScenario) as caught:
        scenario = parse(text)
        World(scenario).begin()
    assert caught.value.field == field
    assert hint in str(caught.value)


def test_m21_numbers_are_exact_and_overrides_replace_one_value() -> None:
    scenario = parse(HEAD + "[network]\nloss = 0.1", ["network.nodes=7", "network.loss=0.3", "duration=2s"], 9)
    assert (scenario.network.nodes, str(scenario.network.loss), scenario.duration, scenario.seed) == (7, "0.3", "2s", 9)
    with pytest.raises(InvalidScenario):
        parse(HEAD, ["network"])


def test_m29_too_many_liars_are_refused_unless_wanted() -> None:
    liars = [f'{{ t = "0s", do = "byzantine", node = "{name}", behaviour = "forge" }}' for name in ("acme", "bolt")]
    text = HEAD + f"at = [{', '.join(liars)}]\n"
    with pytest.raises(InvalidScenario, match="f is 1"):
        World(parse(text))
    assert World(parse("allow_excess_faults = true\n" + text)).view.byzantine_mask.bit_count() == 2


@pytest.mark.parametrize("seed", range(30))
def test_m36_every_scenario_of_the_swarm_can_be_written_down_and_read_back(seed: int) -> None:
    assert parse(describe(swarm(seed))) == swarm(seed)


def test_shipped_scenarios_load() -> None:
    assert "clean" in shipped()
    for name in shipped():
        assert load(name).name == name
    with pytest.raises(InvalidScenario, match="did you mean 'clean'"):
        load("claen")
    with pytest.raises(InvalidScenario, match="did you mean '22-f-plus-one-down' or '22-power-cut'"):
        load("22")


def test_every_number_of_the_catalogue_is_there_by_name() -> None:
    assert {int(name[:2]) for name in (*catalogue(), SWARM)} >= set(range(1, 87))


def test_the_swarm_has_a_name_and_takes_no_changes() -> None:
    assert scenario_of(SWARM, 7) == scenario_of("", 7) == swarm(7)
    for source in ("", SWARM):
        with pytest.raises(InvalidScenario, match=r"network\.nodes.*the seed alone"):
            scenario_of(source, 7, ["network.nodes=5"])


def test_m21_the_schema_is_published() -> None:
    schema = json_schema()
    assert schema["$defs"]["Scenario"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("text", "ns"), [("250ms", 250_000_000), ("1.5s", 1_500_000_000), ("1m30s", 90 * 10**9), ("-2h", -7200 * 10**9)]
)
def test_durations(text: str, ns: int) -> None:
    assert duration_ns(text, "x") == ns
    assert duration_ns(duration_text(ns), "x") == ns


def test_other_units() -> None:
    assert bandwidth_bits("1.5Mbit", "x") == 1_500_000
    assert ppm(1, "x") == 1_000_000
    assert compare(3, ">= 3", "x")
    assert not compare(3, "< 3", "x")
    with pytest.raises(InvalidScenario):
        compare(3, "about 3", "x")


def test_m25_rates() -> None:
    rng = Rng(1, "pace")
    assert pace("fixed:10", "x", 10**9, rng).gap_ns(0, 0) == 10**8
    rising = pace("linear:10..20", "x", 10**9, rng)
    assert (rising.gap_ns(0, 0), rising.gap_ns(10**9, 0)) == (10**8, 5 * 10**7)
    burst = pace("burst:5,2s", "x", 10**9, rng)
    assert (burst.batch(0), burst.gap_ns(0, 0)) == (5, 2 * 10**9)
    assert pace("fixed-load:8", "x", 10**9, rng).batch(3) == 5
    poisson = pace("poisson:100", "x", 10**9, rng)
    assert 8_000_000 < sum(poisson.gap_ns(0, 0) for _ in range(2000)) / 2000 < 12_000_000


def test_m34_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "clean", "--set", "duration=500ms", "--set", "expect.committed=", "-q"]) == 0
    out = capsys.readouterr().out
    assert "reproduce: python -m simulator run clean --seed 1" in out
    assert main(["run", "clean", "--set", "duration=300ms", "--set", "expect.height=>= 5000", "-q"]) == 10
    assert "expectation/height" in capsys.readouterr().out
    assert main(["run", "nowhere"]) == 2
    assert "shipped are" in capsys.readouterr().err
    assert main(["run", "clean", "--set", "duration=300ms", "-q", "--expect-trace", "00"]) == 10


def test_m29_random_faults_spare_a_quorum_and_depend_on_the_seed() -> None:
    text = (
        HEAD
        + """
duration = "20s"
random_faults = [{ kinds = ["crash", "partition", "isolate", "power_cut", "slow_link"], mean_every = "300ms" }]
workload = [{ kind = "kv", rate = "fixed:10" }]
[consensus]
t0_ms = 500
t_cap_ms = 2000
"""
    )
    first, second = World(parse(text, seed=1)).run(), World(parse(text, seed=2)).run()
    assert first.ok and second.ok, (str(first.violation), str(second.violation))
    assert first.faults != second.faults
    assert len(first.faults) > 5
    assert not any(what.startswith("power_cut") for _, what in first.faults)
    with pytest.raises(InvalidScenario, match="none of crash"):
        World(parse(HEAD + 'random_faults = [{ kinds = ["sadness"] }]')).run()


def test_captions_and_faults_are_told_in_order() -> None:
    told = story(World(load("cut-and-heal", ["duration=4s", "expect.committed="])).run())
    assert [line.split()[0] for line in told.splitlines()] == ["3.000", "3.000", "9.000"]
    assert "The proposer is cut off" in told
    result = World(load("cut-and-heal", ["duration=4s", "expect.committed="])).run()
    assert "断开" in story(result, "zh-CN")


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("2h", 7200)])
def test_a_search_takes_its_time_in_seconds_or_as_a_duration(text: str, seconds: float) -> None:
    option = next(one for one in explore_command.params if one.name == "budget")
    assert option.process_value(Context(explore_command), text) == seconds


@pytest.mark.parametrize("text", ["banana", "-5s", "5x", ""])
def test_a_time_that_is_none_is_named(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert hansa(["sim", "explore", "--seeds", "0..1", "--time", text]) == 2
    assert f"{text!r} is no time" in capsys.readouterr().err
