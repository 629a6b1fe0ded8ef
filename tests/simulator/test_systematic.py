"""Systematic search (M37, GO3, GO4): how the cases are made, and a sample of them. `hansa sim systematic` runs all."""

from __future__ import annotations

import io
from itertools import pairwise, product
from pathlib import Path

import pytest

from simulator.errors import InvalidScenario
from simulator.scenario import load
from simulator.scenario import schema as s
from simulator.scenario.units import duration_ns
from simulator.search import systematic
from simulator.search.record import Done, Plan, Record, code_digest
from simulator.world import World
from tests.simulator.test_planted_bugs import mu39_prepared_set_left_empty

PLAN = Plan(kind="twins", views=1, first=0, most=200, every=4, code="00")


def test_scenario_20_every_commit_of_every_journal_and_every_point_is_a_case() -> None:
    cases = list(systematic.crash_points())
    crashes = [action for case in cases for action in case.at if isinstance(action, s.Crash)]
    assert len(crashes) == len(cases) > 3000
    assert {crash.point for crash in crashes} == set(systematic.POINTS)
    assert {crash.node for crash in crashes} == {"acme", "bolt", "corex", "delta"}
    acme = sorted({crash.commit for crash in crashes if crash.node == "acme"})
    assert acme == list(range(1, acme[-1] + 1))
    assert len({case.name for case in cases}) == len(cases)


def test_scenario_20_a_sample_of_the_crash_points_holds() -> None:
    gathered = systematic.search("crash-points", every=331, out=io.StringIO())
    assert gathered.ok, gathered.failures
    assert gathered.runs == gathered.cases >= 13


@pytest.mark.parametrize(("point", "sent"), [("before", False), ("torn", False), ("after", False), ("sent", True)])
def test_a_crash_point_is_what_it_says(point: str, sent: bool) -> None:
    """The second commit of the primary holds its first proposal: it reaches others only when the process ends after the send."""
    plain = ["duration=300ms", "consensus.rotate_every=0", "expect.liveness.after=never", "expect.view_changes="]
    primary = World(load("clean", plain)).resolve("primary")
    at = f'at=[{{ t = "0s", do = "crash", node = "{primary}", point = "{point}", commit = 2 }}]'
    world = World(load("clean", [*plain, at]))
    result = world.run()
    one = next(daemon for daemon in world.daemons if daemon.name == primary)
    assert result.ok and not one.up
    assert one.journal.commits == (1 if point in ("before", "torn") else 2)
    others = [daemon for daemon in world.daemons if daemon.up and daemon.replica_state is not None]
    heard = 0
    for daemon in others:
        state = daemon.replica_state
        assert state is not None
        heard += any(slot.prepares.held >> one.index & 1 for slot in state.slots.values()) or state.height > 0
    assert bool(heard) is sent


def test_scenario_31_splits_are_complete_and_each_there_once() -> None:
    ways = systematic.splits(("a", "b", "c"))
    assert ways[0] == (("a", "b", "c"), ())
    assert sorted(sorted(left) for left, _ in ways) == [["a"], ["a", "b"], ["a", "b", "c"], ["a", "c"]]


def test_scenario_31_every_company_is_the_pair_once_and_mirrors_are_left_out() -> None:
    cases = list(systematic.twins(1))
    pairs = {action.node for case in cases for action in case.at if isinstance(action, s.Byzantine)}
    assert pairs == {"acme", "bolt", "corex", "delta"}
    assert len(cases) == 4 * (8 + 4), "8 splits keep the pair together, of 8 that part it 4 are mirrors"
    assert len(list(systematic.twins(2))) > 8 * len(cases)


def test_scenario_31_the_search_of_four_stretches_leaves_out_mirrors_and_nothing_else() -> None:
    """Each case of 4 * 16^4 is there, or the one is that it becomes when the two processes change names: (16^4 + 8^4) / 2 a place."""
    kept = {choice for choice in systematic.choices(4) if choice.leader == 2}
    assert len(kept) == (16**4 + 8**4) // 2
    ways = systematic.splits(("corex", "corex-twin", "acme", "bolt", "delta"))
    names = {"corex": "corex-twin", "corex-twin": "corex"}
    parts = [frozenset(map(frozenset, way)) for way in ways]
    mirror = [parts.index(frozenset(frozenset(names.get(name, name) for name in part) for part in way)) for way in ways]
    for chosen in product(range(16), repeat=4):
        other = tuple(mirror[way] for way in chosen)
        assert {(2, chosen), (2, other)} & kept
        assert other == chosen or not {(2, chosen), (2, other)} <= kept


def test_scenario_31_a_block_is_under_way_wherever_a_stretch_begins() -> None:
    """Members differ in what they hold of it: the split meets votes on their way, not a network at rest."""
    case = systematic.Choice(0, (0, 0, 0, 0)).scenario()
    world = World(case, 1)
    world.begin()
    starts = [duration_ns(action.t, "t") for action in case.at if isinstance(action, s.Partition)]
    assert {later - earlier for earlier, later in pairwise(starts)} == {systematic.STRETCH_MS * systematic.MS}
    for start in starts:
        world.advance_until(start)
        states = [daemon.replica_state for daemon in world.daemons]
        assert any(slot.prepares.held for state in states if state is not None for slot in state.slots.values())


@pytest.mark.parametrize(("kind", "views", "most"), [("twins", 2, 200), ("twins-n7", 1, 7)])
def test_the_shares_of_a_search_are_the_whole(kind: str, views: int, most: int) -> None:
    whole = [case for job in systematic.jobs(kind, views, 0, most, 1) for case in job.cases]
    parts = [
        case.name for first in range(3) for job in systematic.jobs(kind, views, first, most, 3) for case in job.cases
    ]
    if kind == "twins":
        assert sorted(parts) == sorted(case.name for case in whole)
        assert len(whole) == 4 * (16**2 + 8**2) // 2
    assert len(parts) == len(set(parts))
    assert len({job.name for job in systematic.jobs(kind, views, 0, most, 1)}) == len(
        systematic.jobs(kind, views, 0, most, 1)
    )


def test_scenario_31_a_split_while_a_block_is_under_way_shows_a_prepared_set_left_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MU39: a network at rest has nothing to hide, so this is found only where a split meets a block that is prepared."""
    mu39_prepared_set_left_empty(monkeypatch)
    gathered = systematic.search("twins", views=2, every=103, out=io.StringIO())
    assert gathered.runs == gathered.cases
    assert any("hides that height" in problem for _, problem in gathered.failures)


def test_a_search_goes_on_where_its_record_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after the first of two jobs, and in the middle of a line: together the pieces are the whole."""
    path = tmp_path / "twins.record"
    whole = systematic.search("twins", views=3, every=2003, out=io.StringIO())
    real, started = systematic._run, []

    def counted(job: systematic.Job) -> object:
        started.append(job.name)
        return real(job)

    monkeypatch.setattr(systematic, "_run", counted)
    piece = systematic.search("twins", views=3, every=2003, budget_s=1e-9, resume=path, out=io.StringIO())
    assert (piece.runs, piece.known, len(started)) == (1, 0, 1)
    with path.open("ab") as file:
        file.write(b'{"job":"twins-3')
    rest = systematic.search("twins", views=3, every=2003, resume=path, out=io.StringIO())
    assert (rest.runs, rest.known) == (whole.runs, 1)
    assert sorted(started) == sorted(job.name for job in systematic.jobs("twins", 3, 0, 200, 2003))
    assert (rest.heights, rest.events, rest.failures) == (whole.heights, whole.events, whole.failures)
    again = systematic.search("twins", views=3, every=2003, resume=path, out=io.StringIO())
    assert (again.runs, again.known, len(started)) == (whole.runs, whole.runs, whole.runs)


def test_a_record_keeps_what_failed(tmp_path: Path) -> None:
    record = Record(tmp_path / "r", PLAN)
    done = Done(job="twins-0", runs=2, heights=3, events=4, failed=(("twins-0-1", "safety/agreement"),))
    record.add(done)
    record.close()
    again = Record(tmp_path / "r", PLAN)
    again.close()
    assert again.done == {"twins-0": done}


def test_a_record_of_another_search_or_of_other_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r"
    Record(path, PLAN).close()
    with pytest.raises(InvalidScenario, match="views is 1 there and 2 here: name another file"):
        Record(path, Plan(kind="twins", views=2, first=0, most=200, every=4, code="00"))
    with pytest.raises(InvalidScenario, match="code is '00' there and '01' here"):
        Record(path, Plan(kind="twins", views=1, first=0, most=200, every=4, code="01"))
    for other in ("a list of things to buy\n", "milk"):
        path.write_text(other, encoding="utf-8")
        with pytest.raises(InvalidScenario, match="is no record of a search"):
            Record(path, PLAN)
        assert path.read_text(encoding="utf-8") == other


def test_a_record_that_was_cut_off_in_its_first_line_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "r"
    Record(path, PLAN).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    Record(path, PLAN).close()
    assert path.read_bytes() == whole


def test_the_digest_of_the_code_is_that_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apples").mkdir()
    source = tmp_path / "apples" / "__init__.py"
    source.write_text("KINDS = 2\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("simulator.search.record.CODE", ("apples",))
    before = code_digest()
    assert before == code_digest()
    source.write_text("KINDS = 3\n", encoding="utf-8")
    assert code_digest() != before


def test_scenario_31_a_sample_of_the_twins_holds() -> None:
    gathered = systematic.search("twins", views=2, every=53, out=io.StringIO())
    assert gathered.ok, gathered.failures
    assert gathered.runs >= 12


def test_scenario_32_drawn_twins_hold() -> None:
    gathered = systematic.search("twins-n7", most=3, out=io.StringIO())
    assert gathered.ok, gathered.failures


def test_m38_a_failing_case_is_saved_and_replays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def cases(*_: object) -> list[s.Scenario]:
        return [s.Scenario(name="stuck", duration="1s", expect=s.Expect(height=">= 5"))]

    monkeypatch.setattr(systematic, "cases", cases)
    out = io.StringIO()
    gathered = systematic.search("crash-points", save=tmp_path, out=out)
    assert [name for name, _ in gathered.failures] == ["stuck"]
    assert f"repeat: hansa sim run {gathered.saved[0]} --seed 1" in out.getvalue()
    assert not World(load(gathered.saved[0]), 1).run().ok


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InvalidScenario, match="is none of crash-points, twins, twins-n7"):
        systematic.search("everything")


@pytest.mark.parametrize("ways", [(7, 6, 5, 8), (7, 6, 5, 10)], ids=str)
def test_cases_that_failed_once(ways: tuple[int, ...]) -> None:
    """A request lost after a long silence held up catch-up for as long as that silence taught (P107)."""
    result = World(systematic.Choice(3, ways).scenario(), 1).run()
    assert result.ok, result.violation
