"""What one member may do with a block that only it can prove, or that some members judge otherwise: the others go on.

Each story stopped a network of four for good, with all links whole again and the liar silent.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from pbft_harness import World

from consensus.messages import Commit, Committed, Prepare, Prepared, Suspect, ViewChange
from ledger.block import BlockRef, block_id, header_codec
from ledger.params import Params

QUICK = Params(
    rotate_every=0, t0_ms=200, t_cap_ms=800, status_ms=200, suspect_ttl_ms=600, hb_ms=300, fetch_ms=100, req_ms=5_000
)


@pytest.mark.parametrize("fruitless", [4, 10, 40])
def test_p33_a_block_that_was_prepared_once_can_still_be_shown_after_many_fruitless_views(fruitless: int) -> None:
    """All PREPARE it, only the liar collects the certificate, and shows it in every view after the links are back."""
    world = World(4, params=QUICK)
    world.run(10)
    liar = world.primary()
    honest = [index for index in range(4) if index != liar]
    proposal = world.first_proposal(liar)
    world.kill(liar)  # its messages are injected
    proposed = world.pre_prepare(liar, 0, proposal)
    certificate = world.prepared_certificate(proposal, 0, liar, [liar, *honest[:2]])
    plain, asynchronous, shown = world.rule, [True], dict[int, None]()

    def rule(frm: int, to: int, message: Any) -> Any:
        if isinstance(message, ViewChange) and not asynchronous[0] and message.view not in shown:
            shown[message.view] = None
            for index in honest:
                lie = world.view_change(liar, message.view, prepared=(certificate,))
                world.at(0, lambda index=index, lie=lie: world.inject(liar, index, lie))  # type: ignore[misc]
        if asynchronous[0] and isinstance(message, Prepare | Commit | Prepared):
            return None
        return plain(frm, to, message)

    world.rule = rule
    for index in honest:
        world.inject(liar, index, proposed)
    world.run(50)
    assert all(world.signed[(index, "Prepare", 0, 0, 1)] for index in honest[:2]), "the certificate is a true one"
    world.submit(3)
    assert world.run(600_000, lambda: all(world.state(index).view > fruitless for index in honest))
    asynchronous[0] = False
    world.run(60_000)
    assert min(len(world.nodes[index].chain) for index in honest) >= 1


def test_p30_what_only_some_members_know_of_a_parent_keeps_nobody_from_repeating_its_child() -> None:
    """Two members restarted and do not know which certificate their tip carries; the third does."""
    world = World(4, params=Params(window=4, max_block_txs=1, rotate_every=0))
    world.run(10)
    liar = world.primary()
    first, knows, second = (index for index in range(4) if index != liar)
    world.submit(6)
    assert world.run(5_000, lambda: world.height() >= 6)
    world.run(300)
    for index in range(4):
        world.store(index)
    for index in (first, second):
        world.kill(index)
        world.restart(index)
    world.run(3_000)
    height = world.height()
    node, body = world.nodes[liar], b"the block"
    tx_id = sha256(body).digest()
    for one in world.nodes:
        world.admit(one, tx_id, body)
    old = node.chain[height + 1 - 5].certificate
    proposal = world.proposal(node, height + 1, node.chain[-1].reference, old, (tx_id,), (body,))
    world.kill(liar)
    plain = world.rule
    world.rule = lambda frm, to, message: (
        None if knows in (frm, to) or isinstance(message, Commit) else plain(frm, to, message)
    )
    proposed = world.pre_prepare(liar, 0, proposal)
    for index in (first, second):
        world.inject(liar, index, proposed)
    world.run(100)
    assert all(height + 1 in world.state(index).picture.prepared for index in (first, second))
    for one in world.nodes:
        world.tell_work(one)
    assert world.run(60_000, lambda: world.state(first).view > 0 and world.state(second).view > 0)
    world.rule = plain
    world.run(60_000)
    assert world.height() > height


def test_p77_members_that_entered_one_view_from_two_bases_do_not_charge_each_other() -> None:
    """A lying collector sends two NEW-VIEWs, with bases on either side of a turn, so two members count as primary."""
    world = World(4, params=Params(rotate_every=2))
    world.run(10)
    members = world.state(0).members
    former, liar, victim = members.collector(0), members.collector(1), members.rotation[3]
    third = members.rotation[2]
    world.rule = lambda *_: None
    first = world.first_proposal(former)
    identity, header = block_id(first.header), header_codec.decode(first.header)
    world.nodes[victim].held[identity] = (first.header, (b"first 0",))
    certificate = world.prepared_certificate(first, 0, former, [former, liar, third])
    final = world.commit_certificate(certificate.vote, [former, liar, third])
    for index in (former, third):
        world.inject(index, victim, Suspect(0, 0))
    own = world.state(victim).picture.view_change
    assert own is not None
    changes = (own, world.view_change(third, 1, prepared=(certificate,)), world.view_change(liar, 1))
    world.inject(liar, victim, world.new_view(liar, 1, tuple(sorted(changes, key=lambda one: one.sender))))
    world.run(20)
    world.inject(former, victim, Prepared(certificate, first))
    world.run(5)
    world.inject(former, victim, Committed(final))
    world.run(20)
    assert world.state(victim).height == 1
    tip = BlockRef(1, identity, header.time_ms, 0, 1)
    second = world.proposal(world.nodes[liar], 2, tip, final, (), ())
    shown = world.prepared_certificate(second, 1, liar, [liar, former, third])
    world.inject(former, victim, Prepared(shown, second))
    world.run(5)
    assert not [one for one in world.nodes[victim].penalties if one.peer in (former, third)]
