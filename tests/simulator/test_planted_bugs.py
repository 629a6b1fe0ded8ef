"""A checker earns trust by noticing bugs that were planted on purpose, each alone (M39, SIM15).

A planted bug is a patch of the code under test, for the time of a `with` block: each breaks one rule of the protocol.
Numbers are those of the mutants in the consensus design; the last two are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest

import consensus.commit
import consensus.recovery
import consensus.replica
import consensus.step
import consensus.timers
import consensus.viewchange
import ledger.governance.follow
import simulator.execution
from consensus.effects import Broadcast, Send
from consensus.events import Lsn
from consensus.messages import Committed
from consensus.validate import Opening
from node.core.committed import CommittedIds
from node.core.machine import NodeCore
from node.core.mempool import Mempool
from simulator.checkers import CHECKERS, Checker
from simulator.scenario import load
from simulator.world import World

Patch = Callable[[pytest.MonkeyPatch], None]


def mu1_quorum_of_f_plus_1(patch: pytest.MonkeyPatch) -> None:
    real = consensus.recovery.membership_of
    patch.setattr(consensus.recovery, "membership_of", lambda config: replace(real(config), q=real(config).weak))


def mu39_prepared_set_left_empty(patch: pytest.MonkeyPatch) -> None:
    real = consensus.viewchange.leave

    def leave(step: Any, target: int) -> None:
        picture = step.state.picture
        kept, picture.prepared = picture.prepared, {}
        real(step, target)
        picture.prepared = kept

    patch.setattr(consensus.viewchange, "leave", leave)


def mu41_lowest_view_wins(patch: pytest.MonkeyPatch) -> None:
    real = consensus.viewchange.opening

    def opening(changes: Any) -> Any:
        outcome = real(changes)
        if not isinstance(outcome, Opening):
            return outcome
        lowest = {}
        for change in changes:
            for entry in change.prepared:
                height = entry.vote.height
                if height not in lowest or entry.vote.view < lowest[height].vote.view:
                    lowest[height] = entry
        return Opening(outcome.base, tuple(lowest.get(e.vote.height, e) for e in outcome.entries))

    patch.setattr(consensus.viewchange, "opening", opening)


def mu49_certificates_not_verified(patch: pytest.MonkeyPatch) -> None:
    def on_committed(step: Any, peer: int, message: Any) -> None:
        if consensus.commit.news(step.state, message.certificate) and message.certificate.vote.height:
            consensus.commit.learn(step, message.certificate)

    patch.setitem(consensus.replica._MESSAGES, Committed, on_committed)


def mu56_view_left_at_once(patch: pytest.MonkeyPatch) -> None:
    def suspect(step: Any) -> None:
        consensus.viewchange.leave(step, step.state.view + 1)

    patch.setattr(consensus.timers, "suspect", suspect)


def mu64_jump_to_the_largest_view(patch: pytest.MonkeyPatch) -> None:
    real = consensus.viewchange.review

    def review(step: Any) -> None:
        largest = max(peer.known_view for peer in step.state.peers)
        if largest > step.state.view and step.state.mode.value < 2:
            consensus.viewchange.leave(step, largest)
        real(step)

    patch.setattr(consensus.viewchange, "review", review)


def mu69_sent_before_durable(patch: pytest.MonkeyPatch) -> None:
    def broadcast(self: Any, message: Any) -> None:
        self.out.append(Broadcast(message=message, after=Lsn(0)))

    def send(self: Any, to: int, message: Any) -> None:
        self.out.append(Send(to=to, message=message, after=Lsn(0)))

    patch.setattr(consensus.step.Step, "broadcast", broadcast)
    patch.setattr(consensus.step.Step, "send", send)


def mu73_bodies_left_out_of_the_write(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NodeCore, "_journal_body", lambda self, block_id: None)


def mu77_own_votes_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(consensus.recovery, "_rebuild", lambda step: None)


def mu38_execution_differs(patch: pytest.MonkeyPatch) -> None:
    real = simulator.execution.apply_block
    calls = [0]

    def apply_block(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        calls[0] += 1
        return replace(result, exec_root=bytes(32)) if calls[0] == 9 else result

    patch.setattr(simulator.execution, "apply_block", apply_block)


def gossip_is_sent_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mempool, "forward", lambda self, now: [])


def duplicates_are_proposed(patch: pytest.MonkeyPatch) -> None:
    real = Mempool.committed

    def committed(self: Any, candidate: Any) -> None:
        kept = dict(self.waiting)
        real(self, candidate)
        self.waiting.update({tx.tx_id: kept[tx.tx_id] for tx in candidate.transactions if tx.tx_id in kept})

    patch.setattr(Mempool, "committed", committed)
    patch.setattr(CommittedIds, "add", lambda self, tx_id, valid_until: None)


def light_clients_believe_what_they_are_shown(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ledger.governance.follow, "_problem", lambda trusted, end, verify: "")


def nodes_say_that_nothing_is_waited_for(patch: pytest.MonkeyPatch) -> None:
    real = consensus.replica.why
    patch.setattr(
        consensus.replica, "why", lambda state, now, wall: replace(real(state, now, wall), waiting_for="nothing")
    )


@contextmanager
def planted(bug: Patch) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        yield


CASES: tuple[tuple[Patch, str, str, str, tuple[int, ...]], ...] = (
    (mu1_quorum_of_f_plus_1, "01-clean", "normal", "prepared_certificate", (1,)),
    (mu38_execution_differs, "01-clean", "full", "exec_root", (1,)),
    (mu39_prepared_set_left_empty, "14-commits-lost", "normal", "opening", (1, 2, 3)),
    (mu41_lowest_view_wins, "51-prepared-apart", "normal", "opening", (1, 2, 3)),
    (mu49_certificates_not_verified, "42-fake-certificate", "normal", "recovery", (1, 2, 3)),
    (mu56_view_left_at_once, "84-lone-suspicion", "normal", "view_changes", (1, 2)),
    (mu64_jump_to_the_largest_view, "48-view-spam", "normal", "view_changes", (1, 2)),
    (mu69_sent_before_durable, "01-clean", "normal", "durable_before_send", (1,)),
    (mu73_bodies_left_out_of_the_write, "22-power-cut", "normal", "liveness", (1, 2)),
    (mu77_own_votes_forgotten, "21-crash-primary", "normal", "honest_votes", (1, 2, 3)),
    (gossip_is_sent_once, "03-isolate-backup", "normal", "liveness", (1, 2)),
    (duplicates_are_proposed, "01-clean", "normal", "validity", (1,)),
    (light_clients_believe_what_they_are_shown, "68-remove-primary", "normal", "light_client", (1,)),
    (nodes_say_that_nothing_is_waited_for, "02-isolate-primary", "normal", "stall", (1,)),
)


def alone(name: str) -> tuple[type[Checker], ...]:
    """Return the checker of that name alone, so that no other one is first; all of them for what the world checks."""
    return tuple(kind for kind in CHECKERS if kind.name == name) or CHECKERS


@pytest.mark.parametrize(
    ("bug", "scenario", "fidelity", "checker", "seeds"), CASES, ids=[case[0].__name__ for case in CASES]
)
def test_m39_a_planted_bug_is_found(
    bug: Patch, scenario: str, fidelity: str, checker: str, seeds: tuple[int, ...]
) -> None:
    found: list[str] = []
    for seed in seeds:
        with planted(bug):
            run = msgspec.structs.replace(load(scenario), fidelity=fidelity)
            violation = World(run, seed, checkers=alone(checker)).run().violation
        found.append("" if violation is None else violation.checker)
        if found[-1]:
            break
    assert found[-1] == checker, found
