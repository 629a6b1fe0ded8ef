"""The quorum sentence says what a network then does, in both languages (C18-C20, U21)."""

from __future__ import annotations

import itertools
import string
from dataclasses import replace
from typing import Any

import pytest

from ledger.certificate import faults, quorum
from node.api.ports import ConsensusStatus, MemberStatus
from node.api.sentences import (
    LANGUAGES,
    NetworkFacts,
    able,
    age,
    blocks_expected,
    name_list,
    network_sentence,
    node_sentence,
    template_ids,
    templates,
    why,
)

NAMES = ("acme-gmbh", "bolt-sas", "corex-sro", "delta-oy")
ALL = frozenset(range(4))
SPLIT = frozenset({(0, 2), (0, 3), (1, 2), (1, 3)})
ALONE = frozenset({(0, 3), (1, 3), (2, 3)})


def facts(**changes: Any) -> NetworkFacts:
    return NetworkFacts(**{"names": NAMES, "up": ALL, "height": 412, **changes})


C20 = (
    ({"up": frozenset({0, 1, 3})}, "3 of 4 nodes are up, 3 are needed: blocks continue. One more failure stops them."),
    ({"up": frozenset({0, 1})}, "2 of 4 nodes are up, 3 are needed: no new blocks. Reads are served at height 412. Start one node to continue."),
    ({"cut": SPLIT, "heal": "`hansa cluster heal P1`"}, "Each side has 2 of 4, 3 are needed: no new blocks on either side, and no fork is possible. `hansa cluster heal P1`"),
    ({"cut": ALONE}, "3 of 4 can still agree: blocks continue. delta-oy serves reads at height 412 and will catch up after heal."),
    ({"silent_primary": True, "up": frozenset({1, 2, 3})}, "The leader is silent: expect a change of leader in about 2 s, then blocks continue."),
    ({"lying": frozenset({1})}, "1 lying node, 1 is tolerated: blocks continue; look for evidence on /network."),
    ({"lying": frozenset({1, 2})}, "2 lying nodes, 1 is tolerated: agreement is no longer guaranteed. The checkers will report a fork and who signed it."),
    ({}, "4 of 4 nodes are up, 3 are needed: blocks continue. One failure is tolerated."),
)  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), C20)
def test_c20_examples_of_the_design(changes: dict[str, Any], sentence: str) -> None:
    assert network_sentence(facts(**changes), "en") == sentence


@pytest.mark.parametrize("n", range(1, 11))
def test_c19_sentence_and_prediction_agree_for_every_number_of_failures(n: int) -> None:
    names = tuple(f"company-{index}" for index in range(n))
    for up in range(n + 1):
        state = NetworkFacts(names=names, up=frozenset(range(up)), height=7)
        text = network_sentence(state, "en")
        assert blocks_expected(state) is (up >= quorum(n)), (n, up)
        assert ("blocks continue" in text) is (up >= quorum(n)), text
        assert network_sentence(state, "zh-CN") != text


@pytest.mark.parametrize("n", (4, 5, 6, 7))
def test_c18_partitions_of_two_sides(n: int) -> None:
    names = tuple(f"company-{index}" for index in range(n))
    for size in range(1, n):
        for side in itertools.combinations(range(n), size):
            cut = frozenset((i, j) for i in range(n) for j in range(i + 1, n) if (i in side) != (j in side))
            state = NetworkFacts(names=names, up=frozenset(range(n)), cut=cut, height=7)
            expected = max(size, n - size) >= quorum(n)
            assert blocks_expected(state) is expected
            assert ("blocks continue" in network_sentence(state, "en")) is expected


def test_c18_links_count_in_both_directions_and_with_themselves() -> None:
    ring = frozenset({(0, 2), (1, 3)})
    assert able(facts(cut=ring)) == 4, "each node still has two links and itself: three"
    assert able(facts(cut=ALONE)) == 3 and able(facts(cut=SPLIT)) == 0


def test_lying_nodes_are_not_counted_as_help() -> None:
    state = facts(lying=frozenset({1}), up=frozenset({0, 1, 2}))
    assert not blocks_expected(state) and "blocks may stop" in network_sentence(state, "en")


def test_u57_both_languages_have_the_same_parts() -> None:
    for key in template_ids():
        english, chinese = templates(key)
        parts = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (english, chinese)]
        missing = parts[0] ^ parts[1]
        assert not missing or key in ("node.fine.one",), (key, missing)
        assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese) or key in ("list", "and"), key


# -- one node


def status(**changes: Any) -> ConsensusStatus:
    away: frozenset[int] = changes.pop("away", frozenset())
    members = tuple(
        MemberStatus(
            index=index, company_id=name, node_id=f"n{index}", is_self=index == 0,
            connected=index != 0 and index not in away, address=f"10.0.{index}.4:7421",
            problem="connection refused" if index in away else "", view=3, height=412, executed_height=412,
            mode="normal", last_heard_ms=949_000 if index in away else 999_600, round_trip_ms=9,
        )
        for index, name in enumerate(NAMES)
    )  # fmt: skip
    base = ConsensusStatus(
        wall_ms=1_000_000, epoch=0, view=3, target_view=3, mode="normal", halt_reason="", vote_problem="", height=412,
        block_id=bytes(32), executed_height=412, primary=1, own_index=0, members=members, timer="", timer_ends_ms=0,
        last_block_ms=952_000, waiting=0, waiting_bytes=0, oldest_waiting_ms=0, view_changes=3, suspects=(),
        evidence=(), phase="idle",
    )  # fmt: skip
    return replace(base, **changes)


def test_u21_the_example_of_the_design() -> None:
    now = status(away=frozenset({2, 3}), mode="changing", view=3, target_view=4, waiting=14, oldest_waiting_ms=47_000)
    answer = why(now, {}, "en")
    assert answer.headline == "No new blocks for 48 s. 2 of 4 members reachable from acme-gmbh, 3 are needed."
    assert answer.members[2].link == "no connection for 51 s (connection refused, 10.0.2.4:7421)"
    assert answer.members[2].seen == "last seen in view 3, height 412"
    assert answer.state == (
        "Leaving view 3 for view 4; 2 of the 3 members needed are here, so no timer runs. "
        "14 transactions wait, oldest 47 s; none is lost."
    )
    assert (
        answer.next == "Start the nodes of corex-sro and delta-oy, or run `hansa doctor` there. One of them is enough."
    )
    assert not answer.flowing


def test_u21_every_state_has_a_sentence_in_every_language() -> None:
    states = [
        status(),
        status(away=frozenset({3})),
        status(away=frozenset({1, 2, 3})),
        status(mode="changing", target_view=4, timer="new_view", timer_ends_ms=1_003_000),
        status(mode="learner", own_index=None),
        status(mode="learner", vote_problem="our COMMIT at height 4 in view 0 is not in the journal"),
        status(mode="halted", halt_reason="state divergence"),
        status(waiting=1, oldest_waiting_ms=20_000, timer="progress", timer_ends_ms=999_000, phase="prepared"),
        status(last_block_ms=0, away=frozenset({1, 2})),
    ]
    seen = set()
    for state in states:
        for language in LANGUAGES:
            answer = why(state, dict.fromkeys(NAMES, "某公司"), language)
            assert answer.headline and answer.state and answer.next and len(answer.members) == 4
            assert "{" not in "".join((answer.headline, answer.state, answer.next))
            seen.add((language, answer.headline))
    assert len(seen) == 2 * len(states) - 0, "each state reads differently"


def test_node_sentence_counts_spare_members() -> None:
    assert node_sentence(status(), {}, "en").endswith("One failure is tolerated.")
    assert node_sentence(status(away=frozenset({3})), {}, "en").endswith("One more failure stops them.")
    assert "blocks continue" not in node_sentence(status(away=frozenset({2, 3})), {}, "en")


def test_f_and_q_come_from_the_ledger() -> None:
    assert (faults(4), quorum(4), faults(6), quorum(6)) == (1, 3, 1, 4)


def test_small_words() -> None:
    assert [age(ms, "en") for ms in (0, 119_000, 120_000, 7_200_000, 200_000_000)] == [
        "0 s",
        "119 s",
        "2 min",
        "2 h",
        "2 days",
    ]
    assert name_list((), "en") == "" and name_list(("a", "b", "c"), "en") == "a, b and c"
    assert name_list(("a", "b"), "zh-CN") == "a 和 b"
