"""Abstract explorer of quorums and the view change (GO1, P61): no `Replica`, no messages, only who may vote for what.

All votes lie in one pool that everybody sees in any order; the f Byzantine members vote for everything, always.
Each run draws n, W, the number of heights and its own weight for each action. A run fails when two blocks of one
height have q commits, or when a committed block does not extend the committed one below it. Agreement only: no
disks, no time, no liveness.

`python -m simulator abstract --runs 100000` runs it; every edit of the view change re-runs at least a million (P61).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ledger.certificate import faults, quorum
from simulator.rng import Rng

SHAPES: Final = ((4, 1), (4, 2), (4, 3), (5, 2), (6, 2), (7, 2))
"""(n, W) of the runs."""
VIEWS: Final = 4
HEIGHTS: Final = 4
STEPS: Final = 100
MUTANTS: Final = ("MU1", "MU2", "MU23", "MU27", "MU39", "MU40", "MU49", "MU59", "amnesia")
"""Deliberate faults of the rules (consensus-scenarios section 4); MU40 stands for MU40 with MU41.

MU59 breaks liveness only and must survive here.
"""


class Block(NamedTuple):
    """`parent` is the id of the block below; ids are numbers in order of creation, 0 is genesis."""

    id: int
    height: int
    parent: int


GENESIS: Final = Block(0, 0, 0)


class Entry(NamedTuple):
    """A prepared certificate: the view it is of (or says it is of) and its block."""

    view: int
    block: Block


class Change(NamedTuple):
    """A VIEW-CHANGE: its sender, the committed block it starts from, and one certificate a height at most."""

    sender: int
    base: Block
    prepared: tuple[Entry, ...]


@dataclass(slots=True)
class Opening:
    """A NEW-VIEW: base* and O by height."""

    base: Block
    again: dict[int, Block]


@dataclass(slots=True)
class Member:
    """An honest member."""

    view: int = 0
    changing: bool = False
    tip: Block = GENESIS
    accepted: dict[tuple[int, int], Block] = field(default_factory=dict)
    prepared: dict[int, Entry] = field(default_factory=dict)
    opening: Opening = field(default_factory=lambda: Opening(GENESIS, {}))


class History:
    """One run."""

    def __init__(self, rng: Rng, mutant: str) -> None:
        self.rng = rng
        self.mutant = mutant
        self.n, self.window = rng.choice(SHAPES)
        self.f = faults(self.n)
        self.q = {"MU1": self.f + 1, "MU2": 2 * self.f + 1}.get(mutant, quorum(self.n))
        self.burst = rng.choice((1, 2, 4))
        self.heights = rng.choice((1, 1, 2, HEIGHTS))
        self.liars = self.f
        self.members = [Member() for _ in range(self.n - self.liars)]
        self.blocks: list[Block] = [GENESIS]
        self.prepares: dict[tuple[int, Block], int] = {}
        self.commits: dict[tuple[int, Block], int] = {}
        self.changes: dict[int, dict[int, Change]] = {}
        self.openings: dict[int, list[Opening]] = {0: [Opening(GENESIS, {})]}
        self.committed: dict[int, Block] = {0: GENESIS}
        self.weights = [rng.choice((1, 2, 4, 10, 25)) for _ in _ACTIONS]
        # Certificates that travel fast end most attacks, so in half of the runs they hardly travel.
        self.weights[_ACTIONS.index(History.learn)] = rng.choice((0, 1, 1, 10))

    def run(self) -> str:
        """Return what went wrong, or ""."""
        total = sum(self.weights)
        for _ in range(STEPS):
            action = self._drawn(self.rng.below(total))
            # Often several members do the same thing; how many is drawn, so that runs differ in how far they get.
            for _ in range(self.rng.between(1, self.burst)):
                problem = action(self)
                if problem:
                    return problem
        return ""

    def _drawn(self, draw: int) -> Callable[[History], str]:
        for action, weight in zip(_ACTIONS, self.weights, strict=True):
            draw -= weight
            if draw < 0:
                return action
        return _ACTIONS[-1]

    # -- votes -----------------------------------------------------------------------------------------------------

    def votes(self, pool: dict[tuple[int, Block], int], view: int, block: Block) -> int:
        """Count members that voted or may vote for it: honest ones that did, and every liar."""
        return pool.get((view, block), 0).bit_count() + self.liars

    def accept(self) -> str:
        """An honest member accepts a proposal of its view and sends PREPARE (P30, P33)."""
        who, member = self._honest()
        height = member.tip.height + self.rng.between(1, self.window)
        if member.changing or height > self.heights or (member.view, height) in member.accepted:
            return ""
        if height <= member.opening.base.height:  # decided before this view: catch up first (P57)
            return ""
        parent = self._parent(member, height)
        if parent is None:
            return ""
        again = member.opening.again.get(height)
        if again is not None and self.mutant != "MU27":
            if again.parent != parent.id and self.mutant != "MU23":
                return ""
            block = again
        else:
            block = self._proposal(member.view, height, parent)
        member.accepted[member.view, height] = block
        self._cast(self.prepares, member.view, block, who)
        return ""

    def prepare(self) -> str:
        """q PREPAREs: an honest member holds the certificate and sends COMMIT, its own PREPARE or not (P34)."""
        who, member = self._honest()
        if member.changing:
            return ""
        ready = [
            block
            for (view, block) in self.prepares
            if view == member.view
            and max(member.tip.height, member.opening.base.height) < block.height <= member.tip.height + self.window
            and self.votes(self.prepares, view, block) >= self.q
        ]
        if not ready:
            return ""
        block = self.rng.choice(ready)
        again = member.opening.again.get(block.height)
        parent = self._parent(member, block.height)
        if self.mutant != "MU27" and again is not None and again != block:
            return ""
        if self.mutant != "MU23" and (parent is None or parent.id != block.parent):
            return ""
        if self.mutant != "MU40" or block.height not in member.prepared:
            member.prepared[block.height] = Entry(member.view, block)
        self._cast(self.commits, member.view, block, who)
        return self._check(member.view, block)

    def learn(self) -> str:
        """A commit certificate reaches an honest member, in any mode and view (P35)."""
        _, member = self._honest()
        block = self.committed.get(member.tip.height + 1)
        if block is not None:
            member.tip = block
            member.prepared = {height: entry for height, entry in member.prepared.items() if height > block.height}
        return ""

    # -- view change -----------------------------------------------------------------------------------------------

    def leave(self) -> str:
        """An honest member leaves for a later view (P52)."""
        who, member = self._honest()
        if member.view + 1 >= VIEWS:
            return ""
        # Hurrying ahead of all others wastes views; one in eight still does.
        if member.view > min(other.view for other in self.members) and self.rng.below(8):
            return ""
        member.view += 1
        member.changing = True
        entries = tuple(member.prepared[height] for height in sorted(member.prepared))
        if self.mutant == "MU39":
            entries = ()
        if self.mutant == "amnesia" and self.rng.bits(1):
            entries, member.prepared = (), {}
        self.changes.setdefault(member.view, {})[who] = Change(who, member.tip, entries)
        return ""

    def lie(self) -> str:
        """A Byzantine VIEW-CHANGE: any real certificates of lower views, any committed base (P53)."""
        if not self.liars:
            return ""
        who = self.n - 1 - self.rng.below(self.liars)
        view = self.rng.choice(sorted(self.changes)) if self.changes else 1
        base = self.rng.choice(list(self.committed.values()))
        entries: list[Entry] = []
        for height in range(base.height + 1, base.height + self.window + 1):
            real = [
                Entry(certified, block)
                for (certified, block) in self.prepares
                if block.height == height and self.votes(self.prepares, certified, block) >= self.q
            ]
            if self.mutant == "MU49":
                real = [Entry(self.rng.below(view), entry.block) for entry in real]
            real = [entry for entry in real if entry.view < view]
            if real and self.rng.below(4):
                entries.append(self.rng.choice(real))
        self.changes.setdefault(view, {})[who] = Change(who, base, tuple(entries))
        return ""

    def open(self) -> str:
        """The collector of a view builds a NEW-VIEW over q VIEW-CHANGEs; a Byzantine one may build several (P56)."""
        view = self.rng.choice(sorted(self.changes)) if self.changes else 1
        held = self.changes.get(view, {})
        collector = view % self.n
        if len(held) < self.q:
            return ""
        if self._is_honest(collector) and (view in self.openings or collector not in held):
            return ""
        chosen = self.rng.sample(sorted(held), self.q)
        if self._is_honest(collector) and collector not in chosen:
            chosen[0] = collector
        self.openings.setdefault(view, []).append(self._opening([held[sender] for sender in sorted(chosen)]))
        return ""

    def enter(self) -> str:
        """An honest member accepts a NEW-VIEW of its view or a later one, once a view (P56, P57)."""
        _, member = self._honest()
        views = [view for view in self.openings if view > member.view or (view == member.view and member.changing)]
        if not views:
            return ""
        view = self.rng.choice(views)
        member.opening = self.rng.choice(self.openings[view])
        member.view, member.changing = view, False
        return ""

    # -- small parts -----------------------------------------------------------------------------------------------

    def _opening(self, chosen: list[Change]) -> Opening:
        """O(V) of P55."""
        base = max((change.base for change in chosen), key=lambda block: block.height)
        again: dict[int, Block] = {}
        below, height = base, base.height + 1
        while True:
            entries = [entry for change in chosen for entry in change.prepared if entry.block.height == height]
            if not entries:
                break
            pick = min if self.mutant == "MU40" else max
            view = pick(entry.view for entry in entries)
            # More than one block at that view is proof of more than f faults; the adversary would choose the last.
            block = [entry for entry in entries if entry.view == view][-1].block
            if block.parent != below.id and self.mutant != "MU59":
                break
            again[height] = block
            below, height = block, height + 1
        return Opening(base, again)

    def _proposal(self, view: int, height: int, parent: Block) -> Block:
        """Return what the primary of `view` proposes: an honest one says the same to all, a liar anything."""
        primary = view % self.n
        if self._is_honest(primary):
            own = self.members[primary].accepted.get((view, height))
            if own is not None and own.parent == parent.id:
                return own
        fitting = [block for block in self.blocks if block.height == height and block.parent == parent.id]
        if fitting and not self._is_honest(primary) and self.rng.bits(1):
            return self.rng.choice(fitting)
        same = [block for (v, block) in self.prepares if v == view and block in fitting]
        if same and self._is_honest(primary):
            return same[0]
        block = Block(len(self.blocks), height, parent.id)
        self.blocks.append(block)
        return block

    def _parent(self, member: Member, height: int) -> Block | None:
        """Return the parent a member builds on: committed here, or prepared here in this view (P30e)."""
        if height == member.tip.height + 1:
            return member.tip
        entry = member.prepared.get(height - 1)
        if entry is not None and entry.view == member.view:
            return entry.block
        if self.mutant == "MU23":
            below = [block for block in self.blocks if block.height == height - 1]
            return self.rng.choice(below) if below else None
        return None

    def _cast(self, pool: dict[tuple[int, Block], int], view: int, block: Block, who: int) -> None:
        pool[view, block] = pool.get((view, block), 0) | 1 << who

    def _check(self, view: int, block: Block) -> str:
        if self.votes(self.commits, view, block) < self.q:
            return ""
        known = self.committed.setdefault(block.height, block)
        if known != block:
            return f"two blocks at height {block.height}, the second in view {view} (n={self.n}, W={self.window})"
        below = self.committed.get(block.height - 1)
        if below is not None and block.parent != below.id:
            return f"the block at height {block.height} does not extend the one below"
        above = self.committed.get(block.height + 1)
        if above is not None and above.parent != block.id:
            return f"the block at height {block.height + 1} does not extend the one below"
        return ""

    def _honest(self) -> tuple[int, Member]:
        who = self.rng.below(len(self.members))
        return who, self.members[who]

    def _is_honest(self, who: int) -> bool:
        return who < len(self.members)


_ACTIONS: Final = (
    History.accept, History.accept, History.prepare, History.prepare, History.learn,
    History.leave, History.lie, History.open, History.enter,
)  # fmt: skip


def explore_abstract(first: int, runs: int, mutant: str = "") -> tuple[int, str]:
    """Return the first failing seed and what it shows, or (-1, "")."""
    for seed in range(first, first + runs):
        problem = History(Rng(seed, "abstract"), mutant).run()
        if problem:
            return seed, problem
    return -1, ""
