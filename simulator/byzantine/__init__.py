"""Attackers, one named behaviour a file (M30). Door: `BEHAVIOURS`, by the name scenarios use.

`twins` is not here: it is two honest processes with one identity, which the world sets up itself.
"""

from __future__ import annotations

from typing import Final

from simulator.byzantine.accuse_twice import AccuseTwice
from simulator.byzantine.backdate import Backdate
from simulator.byzantine.bad_new_view import BadNewView
from simulator.byzantine.bad_proposal import BadProposal
from simulator.byzantine.base import Attacker
from simulator.byzantine.censor import Censor
from simulator.byzantine.cling import Cling
from simulator.byzantine.delay_votes import DelayVotes
from simulator.byzantine.deviate import Deviate
from simulator.byzantine.draw_bodies import DrawBodies
from simulator.byzantine.equivocate import Equivocate
from simulator.byzantine.fake_certificate import FakeCertificate
from simulator.byzantine.false_witness import FalseWitness
from simulator.byzantine.flood import Flood
from simulator.byzantine.forge import Forge
from simulator.byzantine.garble import Garble
from simulator.byzantine.graft import Graft
from simulator.byzantine.hide_predecessor import HidePredecessor
from simulator.byzantine.hoard import Hoard
from simulator.byzantine.lie_view_change import LieViewChange
from simulator.byzantine.lying_ends import LyingEnds
from simulator.byzantine.lying_snapshot import LyingSnapshot
from simulator.byzantine.lying_sync import LyingSync
from simulator.byzantine.make_up import MakeUp
from simulator.byzantine.mutate import Mutate
from simulator.byzantine.old_last import OldLast
from simulator.byzantine.open_anyway import OpenAnyway
from simulator.byzantine.other_chain import OtherChain
from simulator.byzantine.repeat import Repeat
from simulator.byzantine.replay_old import ReplayOld
from simulator.byzantine.silent_primary import SilentPrimary
from simulator.byzantine.silent_snapshot import SilentSnapshot
from simulator.byzantine.slow_primary import SlowPrimary
from simulator.byzantine.swap_keys import SwapKeys
from simulator.byzantine.sweep import Sweep
from simulator.byzantine.time_ratchet import TimeRatchet
from simulator.byzantine.usurp import Usurp
from simulator.byzantine.view_spam import ViewSpam
from simulator.byzantine.vote_both import VoteBoth
from simulator.byzantine.withhold_bodies import WithholdBodies
from simulator.byzantine.withhold_commit import WithholdCommit

TWINS: Final = "twins"
BEHAVIOURS: Final[dict[str, type[Attacker]]] = {
    kind.name: kind
    for kind in (
        Equivocate, VoteBoth, SilentPrimary, SlowPrimary, DelayVotes, WithholdCommit, WithholdBodies, BadProposal,
        LieViewChange, BadNewView, ViewSpam, LyingSync, TimeRatchet, ReplayOld, Forge, FakeCertificate, Mutate, Flood,
        Censor, Cling, FalseWitness, Sweep, Deviate, OpenAnyway, LyingSnapshot, LyingEnds,
        Usurp, OtherChain, Backdate, Garble, Graft, Repeat, MakeUp, Hoard, OldLast, AccuseTwice,
        SilentSnapshot, DrawBodies, SwapKeys, HidePredecessor,
    )
}  # fmt: skip

__all__ = ["BEHAVIOURS", "TWINS", "Attacker"]
