"""The report of branches that no run takes (GO6). The count itself takes minutes: `python -m simulator coverage`."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.search import branches
from simulator.search.branches import Reached, listing

ROOT = Path(__file__).parents[2]


def test_go6_what_no_run_takes_is_shown_with_its_line() -> None:
    reached = Reached(
        branches=200, taken=197, runs=3, missing=(("consensus/quorum.py", 1, -1), ("consensus/quorum.py", 1, 3))
    )
    text = listing(reached)
    first = (ROOT / "consensus" / "quorum.py").read_text(encoding="utf-8").splitlines()[0]
    assert text.splitlines() == [
        "197 of 200 branches of consensus in 3 runs: 98.5 %",
        f"  consensus/quorum.py:1 never leaves the function: {first}",
        f"  consensus/quorum.py:1 never goes to line 3: {first}",
    ]


def test_go6_rare_branches_are_still_reached_by_the_runs_made_for_them() -> None:
    """The whole count takes minutes; what only a scenario made for it reaches is looked at here."""
    assert branches.unreached() == []


@pytest.mark.parametrize("goal", ["recovery: no such condition", "commit: height <= state.tip.height"])
def test_a_goal_names_one_condition(goal: str) -> None:
    with pytest.raises(ValueError, match="one is needed"):
        branches.place_of(goal)


def test_the_library_that_counts_is_in_the_test_environment() -> None:
    assert branches.available()


def test_only_our_own_bugs_are_left_out() -> None:
    """Style rule 13: what is excluded must be a raised invariant or an exhausted match, never a rule of the protocol."""
    assert all("InvariantViolated" in line or "assert_never" in line for line in branches.UNREACHABLE)
