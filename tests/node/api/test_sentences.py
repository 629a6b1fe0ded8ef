"""The quorum sentence says what a network then does, in both languages (C18-C20, U21)."""

from __future__ import annotations

import inspect
import itertools
import re
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import consensus.normal
import consensus.validate
import node.transport
from ledger.certificate import faults, quorum
from node.api.ports import ConsensusStatus, MemberStatus
from node.api.sentences import (
    LANGUAGES,
    NetworkFacts,
    able,
    age,
    behind,
    blocks_expected,
    name_list,
    network_sentence,
    node_sentence,
    reachable_members,
    stalled,
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


@pytest.mark.parametrize(("n", "spare"), [(1, 0), (2, 0), (3, 1)])
def test_p4_fewer_than_four_companies_are_told_that_they_tolerate_no_lie(n: int, spare: int) -> None:
    names = NAMES[:n]
    text = network_sentence(NetworkFacts(names=names, up=frozenset(range(n)), height=7), "en")
    small = status()
    own = node_sentence(replace(small, members=small.members[:n]), {}, "en")
    for sentence in (text, own):
        assert "blocks continue" in sentence and "no lying" in sentence
        assert ("One failure is tolerated" in sentence) is (spare == 1)
    assert "lying" not in node_sentence(small, {}, "en")


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
        wall_ms=1_000_000, epoch=0, view=3, mode="normal", halt_reason="", vote_problem="", height=412,
        block_id=bytes(32), executed_height=412, primary=1, own_index=0, members=members, timer="", timer_ends_ms=0,
        last_block_ms=952_000, waiting=0, waiting_bytes=0, oldest_waiting_ms=0, view_changes=3, suspects=(),
        evidence=(), phase="idle",
    )  # fmt: skip
    return replace(base, **changes)


def test_u57_every_reason_for_which_a_link_ends_is_known_in_both_languages() -> None:
    source = "".join((Path(node.transport.__file__).with_name(name)).read_text() for name in ("link.py", "peers.py"))
    reasons = {
        *re.findall(r'\.close\("([^"]+)"\)', source),
        *re.findall(r'return "(its [^"]+|it [^"]+|timed out|connection refused)"', source),
        *re.findall(r'"(it refused us|it closed the link|not connected yet)"', source),
    }
    assert {"timed out", "it refused us", "this node stops"} <= reasons, "the texts are found in the source"
    for reason in sorted(reasons):
        english, chinese = templates(f"problem.{reason}")
        assert english == reason and not re.search("[a-z]{3}", chinese), reason


def test_u57_every_reason_for_which_a_block_is_refused_is_known_in_both_languages() -> None:
    rules = Path(consensus.normal.__file__).read_text()
    static = rules[rules.index("def _static") : rules.index("def _reject")]
    header = inspect.getsource(consensus.validate.header_problem)
    reasons = {*re.findall(r'_reject\(step, slot, "(\w+)"\)', rules), *re.findall(r'return "(\w+)"', static + header)}
    assert {"invalid_block", "wrong_exec_root", "too_large", "wrong_parent"} <= reasons, "they are found in the source"
    assert reasons == {key.removeprefix("refusal.") for key in template_ids() if key.startswith("refusal.")}


def test_u21_the_example_of_the_design() -> None:
    now = status(away=frozenset({2, 3}), mode="changing", view=4, waiting=14, oldest_waiting_ms=47_000)
    answer = why(now, {}, "en")
    assert answer.headline == "No new blocks for 48 s. 2 of 4 members reachable from acme-gmbh, 3 are needed."
    assert answer.members[2].link == "no connection for 51 s (connection refused, 10.0.2.4:7421)"
    assert answer.members[2].seen == "last seen in view 3, height 412"
    assert answer.state == (
        "Moving to view 4; 2 of the 3 members needed are here, so no timer runs. "
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
        status(mode="changing", timer="new_view", timer_ends_ms=1_003_000),
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


def seen(view: int, *, at: int = 999_600, height: int = 412) -> dict[str, Any]:
    """What one member of `status` may show otherwise."""
    return {"view": view, "last_heard_ms": at, "height": height}


def with_members(base: ConsensusStatus, **by_index: dict[str, Any]) -> ConsensusStatus:
    changed = tuple(replace(member, **by_index.get(f"m{member.index}", {})) for member in base.members)
    return replace(base, members=changed)


def test_u21_who_is_linked_and_silent_is_named_and_does_not_count() -> None:
    """A process that hangs keeps its sockets: the link says "connected", the sentence must not."""
    hung = with_members(status(waiting=1, oldest_waiting_ms=9_000), m2=seen(3, at=980_000), m3=seen(3, at=994_000))
    answer = why(hung, {}, "en")
    assert answer.headline == "No new blocks for 48 s. 2 of 4 members reachable from acme-gmbh, 3 are needed."
    assert answer.members[2].link == "connected, but silent for 20 s"
    assert answer.next.startswith("Start the nodes of corex-sro and delta-oy") and not answer.flowing
    assert why(hung, {}, "zh-CN").members[3].link == "已连接，但已 6 秒 没有消息"
    patient = replace(hung, silent_after_ms=40_000)
    assert "4 of 4" in why(patient, {}, "en").headline, "a network with slow status messages waits longer"


def test_p97_who_follows_without_a_vote_is_linked_and_does_not_count() -> None:
    """A member that lost its journal keeps its links: three of four are linked, and two can decide."""
    lost = {"mode": "learner"}
    dead = with_members(status(away=frozenset({2}), waiting=1, oldest_waiting_ms=9_000), m3=lost)
    answer = why(dead, {}, "en")
    assert answer.headline == (
        "No new blocks for 48 s. 2 of 4 members reachable from acme-gmbh, 3 are needed. "
        "Another one is connected, but does not vote."
    )
    assert [line.votes for line in answer.members] == [True, True, True, False] and not answer.flowing
    assert answer.members[3].link == "connected, but does not vote" and answer.members[3].connected
    assert answer.next.startswith("Start the node of corex-sro, or run `hansa doctor` there. delta-oy follows")
    assert "`hansa company rotate` there" in answer.next
    chinese = why(dead, {}, "zh-CN")
    assert chinese.members[3].link == "已连接，但不投票" and chinese.headline.endswith(
        "另有 1 个成员已连接，但不投票。"
    )
    assert "delta-oy 只跟随、不投票" in chinese.next and "`hansa company rotate`" in chinese.next


def test_p97_members_without_a_vote_are_named_while_blocks_go_on_and_when_nobody_else_is_away() -> None:
    spare = why(with_members(status(), m3={"mode": "learner"}), {}, "en")
    assert "3 of 4" in spare.headline and "One more failure stops them." in spare.headline and spare.flowing
    assert spare.next.startswith("delta-oy follows without a vote"), "a step of its own, and not nothing to do"
    two = with_members(status(timer="progress", waiting=1), m2={"mode": "halted"}, m3={"mode": "learner"})
    stopped = why(two, {}, "en")
    assert stopped.headline.startswith("No new blocks") and not stopped.flowing
    assert stopped.headline.endswith("2 others are connected, but do not vote.")
    assert stopped.next.startswith("corex-sro and delta-oy follow without a vote"), "no timer helps"
    three = with_members(two, m1={"mode": "learner"})
    assert "network of this machine" not in why(three, {}, "en").next, "the links are up"
    own = with_members(status(mode="learner", away=frozenset({3})), m0={"mode": "learner"})
    assert reachable_members(own) == 2 and "corex-sro" not in why(own, {}, "en").next
    unheard = with_members(status(), m3={"mode": ""})
    assert reachable_members(unheard) == 4, "what it did not say yet is not held against it"


def test_u21_stalled_is_who_makes_no_blocks_though_they_are_due() -> None:
    waits = {"waiting": 1, "oldest_waiting_ms": 20_000}
    for well in (status(), status(away=frozenset({3})), status(mode="learner"), status(**waits, last_block_ms=999_000)):
        assert not stalled(well)
    for stands in (
        status(away=frozenset({2, 3})), status(mode="changing"), status(mode="halted"), status(**waits),
        status(mode="learner", away=frozenset({2, 3})),
        with_members(status(away=frozenset({2})), m3={"mode": "learner"}),
    ):  # fmt: skip
        assert stalled(stands)


def test_u21_a_view_that_forms_says_who_is_not_in_it() -> None:
    forming = with_members(status(mode="changing", view=5, waiting=1), m0=seen(5), m1=seen(5), m2=seen(3), m3=seen(4))
    answer = why(forming, {}, "en")
    assert answer.headline.startswith("2 of the 3 members needed are in view 5")
    assert answer.state.startswith("Moving to view 5; the timer of its leader starts when 3 members are in it.")
    assert "corex-sro and delta-oy" in answer.next and "bolt-sas" not in answer.next
    there = with_members(forming, m2=seen(5))
    opened = why(replace(there, timer="new_view", timer_ends_ms=1_003_000), {}, "en")
    assert opened.headline.startswith("The members are choosing a new leader, for view 5.")
    assert "the next leader has 3 s left to open the new view" in opened.state


@pytest.mark.parametrize(
    ("changes", "english", "chinese"),
    [
        ({"waiting_for": "execution_lag"}, "the window is full", "窗口已满"),
        ({"waiting_for": "execution"}, "the window is full", "窗口已满"),
        ({"waiting_for": "votes"}, "votes are being collected", "正在收集投票"),
        ({"waiting_for": "bodies"}, "some of its transactions are not here", "部分交易尚未到达"),
        (
            {"waiting_for": "refused", "refusal": "invalid_block"},
            "this node refused the block of the leader: a transaction", "本节点拒绝了主节点的区块：其中有无效的交易",
        ),
        ({"waiting_for": "refused", "refusal": "a_new_word"}, "of the leader: a_new_word.", "的区块：a_new_word。"),
        ({"waiting_for": "echo"}, "signs nothing until enough members", "不签署任何内容"),
        ({"waiting_for": "proposal"}, "has not proposed a block yet", "尚未提议区块"),
        (
            {"mode": "learner", "own_index": None, "own_company": "new-ag", "own_status": "active"},
            "Its company is admitted", "已被接纳",
        ),
        ({"mode": "learner", "own_company": "new-ag", "own_status": ""}, "the others must admit it", "由其他成员接纳"),
        ({"mode": "learner", "own_company": "new-ag", "own_status": "left"}, "has left the network", "已离开"),
        (
            {"mode": "learner", "vote_problem": "the key is not in the keystore", "key_missing": True},
            "must not vote: the key is not in the keystore.", "不得投票",
        ),
    ],
)  # fmt: skip
def test_u21_what_is_awaited_reads_in_both_languages(changes: dict[str, Any], english: str, chinese: str) -> None:
    assert english in why(status(**changes), {}, "en").state
    assert chinese in why(status(**changes), {}, "zh-CN").state


def test_s25_a_suspended_company_reads_so_in_every_sentence() -> None:
    for state in (status(), status(away=frozenset({2, 3})), status(mode="learner")):
        shut = replace(state, own_status="suspended")
        assert node_sentence(shut, {}, "en").startswith(node_sentence(state, {}, "en"))
        assert "suspended acme-gmbh" in node_sentence(shut, {}, "en")
        assert "已暂停 acme-gmbh" in node_sentence(shut, {}, "zh-CN")


def test_u21_nobody_in_reach_points_at_the_own_network_and_cuts_at_their_repair() -> None:
    alone = status(away=frozenset({1, 2, 3}))
    assert "network of this machine" in why(alone, {}, "en").next
    cut = {"problem": "cut by a fault"}
    split = with_members(status(away=frozenset({2, 3})), m2=cut, m3=cut)
    assert "hansa cluster heal" in why(split, {}, "en").next
    mixed = with_members(split, m3={"problem": "connection refused"})
    assert "hansa cluster heal" not in why(mixed, {}, "en").next


def test_u21_each_standing_has_its_own_next_step() -> None:
    guest = {"mode": "learner", "own_company": "new-ag"}
    steps = [
        why(status(**changes), {}, "en").next
        for changes in (
            {"waiting_for": "execution"}, {"waiting_for": "votes"}, {"waiting_for": "refused"}, {}, {**guest}, {**guest, "own_status": "expelled"},
            {"mode": "learner"}, {"mode": "learner", "vote_problem": "x"},
            {"mode": "learner", "vote_problem": "x", "key_missing": True},
        )
    ]  # fmt: skip
    assert len(set(steps)) == len(steps)


def ahead(base: ConsensusStatus, *heights: int) -> ConsensusStatus:
    """The first of the others stand at these heights."""
    return with_members(base, **{f"m{place}": seen(3, height=height) for place, height in enumerate(heights, 1)})


def test_u21_a_node_that_gets_no_blocks_does_not_say_that_all_is_well() -> None:
    """All others are 600 blocks ahead, and no block is on its way: they pruned what this node lacks."""
    here = status(waiting_for="nothing")
    stuck = ahead(here, 1_012, 1_012, 1_012)
    answer = why(stuck, {}, "en")
    assert behind(stuck) and stalled(stuck) and not answer.flowing
    assert answer.headline.startswith("acme-gmbh stands at height 412, others at 1012 or above, and none of the blocks")
    assert "needs their state" in answer.next and "Nothing to do" not in answer.next
    assert "412" in why(stuck, {}, "zh-CN").headline and "需要它们的状态" in why(stuck, {}, "zh-CN").next
    guest = with_members(
        replace(stuck, mode="learner", own_index=None, own_company="new-co"), m0={"is_self": False, "connected": True}
    )
    for learner in (replace(stuck, mode="learner"), guest):
        assert "none of the blocks between" in node_sentence(learner, {}, "en"), "it would wait to be ready for ever"
        assert why(learner, {}, "en").next == answer.next
    for said in (replace(stuck, mode="halted"), replace(stuck, mode="learner", vote_problem="x")):
        assert "1012" not in node_sentence(said, {}, "en") and "600" not in why(said, {}, "en").next


def test_p106_one_claim_makes_no_node_behind_and_few_blocks_come_by_agreement() -> None:
    here = status(waiting_for="nothing")
    for well in (
        ahead(here, 9_000_000), ahead(here, 414, 414, 414), replace(ahead(here, 416, 416, 416), near=4),
        ahead(status(away=frozenset({2, 3})), 1_012, 1_012, 1_012), replace(ahead(here, 900, 900), syncing=True),
    ):  # fmt: skip
        assert not behind(well)
    assert behind(ahead(here, 415, 9_000_000)) and "415 or above" in node_sentence(
        ahead(here, 415, 9_000_000), {}, "en"
    )
    lied = replace(ahead(here, 900, 9_000_000), syncing=True)
    assert "fetches blocks up to 900." in node_sentence(lied, {}, "en"), "what f+1 say holds"


def test_u21_a_node_that_catches_up_says_from_where_to_where() -> None:
    answer = why(ahead(status(syncing=True, waiting_for="sync"), 900, 900), {}, "en")
    assert answer.headline.startswith("acme-gmbh stands at height 412 and fetches blocks up to 900.")
    assert answer.next.startswith("Wait until this node has caught up") and not answer.flowing


def test_u57_what_the_transport_says_is_translated() -> None:
    for text in ("connection refused", "it closed the link", "cut by a fault"):
        away = with_members(status(away=frozenset({3})), m3={"problem": text})
        assert text not in why(away, {}, "zh-CN").members[3].link and text in why(away, {}, "en").members[3].link


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
