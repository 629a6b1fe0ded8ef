"""Mutants judge the simulator (M39, SIM15, GO5). The whole list runs with `hansa sim mutants`; a sample runs here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.__main__ import run as hansa
from simulator.errors import InvalidScenario
from simulator.scenario.load import catalogue
from simulator.search import mutants
from simulator.search.mutated import Mutation, PatchFailed, entries, parse_run, patched

PAGE = Path(__file__).parents[2] / "docs" / "simulation.md"
SAMPLE = ("MU1", "MU11", "MU15", "MU39", "MU47", "MU69", "MU74", "MU79", "MU80", "MU93")
"""One of each chapter of the list, among those that die at once."""


def test_every_mutant_fits_the_code() -> None:
    assert mutants.misfits() == [], "the code has changed: bring simulator/search/mutants.toml in line"


def test_go5_there_are_at_least_sixty_and_each_number_is_there_once() -> None:
    numbers = mutants.numbers()
    assert len(numbers) >= 60
    assert len(set(numbers)) == len(numbers)


def test_every_mutant_runs_scenarios_that_exist() -> None:
    for entry in entries():
        assert entry["runs"], entry["number"]
        for run in entry["runs"]:
            name, seeds = parse_run(run)
            assert name in (*catalogue(), "swarm"), (entry["number"], name)
            assert len(seeds) > 0


@pytest.mark.parametrize("number", SAMPLE)
def test_m39_a_sample_of_the_mutants_dies(number: str) -> None:
    fate = mutants.fate_of(mutants.chosen([number])[0])
    assert fate.killed, fate
    assert fate.checker and fate.scenario


def test_a_lens_alone_is_no_fault() -> None:
    """A setting that makes a fault visible must not be what is found."""
    for entry in entries():
        if entry.get("lens"):
            fate = mutants.fate_of({**entry, "runs": entry["runs"][:1]}, 20, lens_only=True)
            assert not fate.killed, fate


def test_a_patch_must_fit_exactly_once() -> None:
    source = "class A:\n    def f(self):\n        return 1\n\n\ndef f():\n    return 1 + 1\n"
    patch = {"module": "m", "function": "A.f", "old": "return 1", "new": "return 2"}
    assert patched(source, patch) == source.replace("        return 1", "        return 2")
    with pytest.raises(PatchFailed, match="occurs 2 times"):
        patched(source, {**patch, "function": ""})
    with pytest.raises(PatchFailed, match="there is no g"):
        patched(source, {**patch, "function": "g"})


def test_a_module_that_is_imported_already_cannot_be_changed() -> None:
    with pytest.raises(PatchFailed, match="is imported already"):
        Mutation([{"module": "json", "function": "", "old": "x", "new": "y"}]).install()


def test_an_unknown_number_is_refused() -> None:
    with pytest.raises(InvalidScenario, match="'MU999' is not a mutant"):
        mutants.hunt(["MU999"])


def test_the_page_shows_the_list_as_it_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition(mutants.BEGIN_MARK)[2].partition(mutants.END_MARK)[0]
    rows = re.findall(r"^\| (MU\w+) \| (.*) \| `([^`]+)` \| \d+ \| `([^`]+)` \|$", shown, re.MULTILINE)
    listed = [(entry["number"], entry["breaks"]) for entry in entries()]
    assert [row[:2] for row in rows] == listed, "hansa sim mutants --write docs/simulation.md"
    assert f"{len(listed)} mutants, {len(listed)} killed." in shown
    known = {entry["number"]: [parse_run(run)[0] for run in entry["runs"]] for entry in entries()}
    assert all(row[2] in known[row[0]] for row in rows)


def test_the_command_prints_what_became_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert hansa(["sim", "mutants", "--only", "MU69", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["mutants"], document["killed"]) == (1, 1)
    assert document["items"][0]["checker"] == "durable_before_send"
