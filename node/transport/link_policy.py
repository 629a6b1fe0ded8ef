"""What a link does to its messages, as data: delay, loss, rate, cut. Pure; refused on production networks (C5).

The real transport and anything that imitates it ask the same function, `passage`: it is told the time, the size, a
drawn number and when the link is free again, and says whether and when the message arrives. Order is kept: a message
never overtakes an earlier one, because links are streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

MILLION: Final = 1_000_000
DELAY_MAX_US: Final = 60 * MILLION
RATE_MIN: Final = 1_000

_SECOND_NS: Final = 1_000_000_000


class PolicyMalformed(ValueError):
    """A rule outside its bounds. The message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRule:
    """One direction of one link. `rate_bytes_per_s` 0 means unlimited; `loss_ppm` counts in a million."""

    latency_us: int = 0
    jitter_us: int = 0
    loss_ppm: int = 0
    rate_bytes_per_s: int = 0
    cut: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.latency_us <= DELAY_MAX_US or not 0 <= self.jitter_us <= DELAY_MAX_US:
            raise PolicyMalformed(f"latency and jitter are 0 to {DELAY_MAX_US} microseconds")
        if not 0 <= self.loss_ppm <= MILLION:
            raise PolicyMalformed(f"loss is 0 to {MILLION} in a million")
        if self.rate_bytes_per_s and self.rate_bytes_per_s < RATE_MIN:
            raise PolicyMalformed(f"a rate is at least {RATE_MIN} bytes per second, or 0")

    @property
    def transparent(self) -> bool:
        """Tell whether messages pass untouched."""
        return self == CLEAR


CLEAR: Final = LinkRule()


@dataclass(frozen=True, slots=True)
class Passage:
    """Fate of one message. `arrives_ns` has no meaning when it is dropped."""

    dropped: bool
    arrives_ns: int
    free_ns: int
    """When the link can take the next message: the transmission time at its rate is over."""


@dataclass(frozen=True, slots=True)
class LinkPolicy:
    """Rules by direction; a pair without a rule has `default`. Indexes are those of the members."""

    default: LinkRule = CLEAR
    links: Mapping[tuple[int, int], LinkRule] = field(default_factory=dict)

    def rule(self, source: int, target: int) -> LinkRule:
        return self.links.get((source, target), self.default)

    def severed(self, first: int, second: int) -> bool:
        """Tell whether neither direction passes anything: then there is no link at all."""
        return self.rule(first, second).cut and self.rule(second, first).cut

    def with_link(self, source: int, target: int, rule: LinkRule) -> LinkPolicy:
        """Return a policy in which the direction source -> target follows `rule`."""
        return replace(self, links={**self.links, (source, target): rule})

    def partition(self, left: Iterable[int], right: Iterable[int], *, one_way: bool = False) -> LinkPolicy:
        """Return a policy in which nothing passes from `left` to `right`, nor back unless `one_way`."""
        links = dict(self.links)
        others = sorted(set(right))
        for source in sorted(set(left)):
            for target in others:
                if source == target:
                    continue
                links[(source, target)] = replace(self.rule(source, target), cut=True)
                if not one_way:
                    links[(target, source)] = replace(self.rule(target, source), cut=True)
        return replace(self, links=links)

    def heal(self) -> LinkPolicy:
        """Return the policy with every cut mended; delays and losses stay."""
        links = {pair: replace(rule, cut=False) for pair, rule in self.links.items()}
        kept = {pair: rule for pair, rule in links.items() if rule != self.default}
        return LinkPolicy(replace(self.default, cut=False), kept)


def passage(rule: LinkRule, *, now_ns: int, size_bytes: int, free_ns: int, last_ns: int, draw: int) -> Passage:
    """Return the fate of a message of `size_bytes` that is handed over at `now_ns`.

    `free_ns` and `last_ns`: when the link is free again and when the last message arrives, both from the passage
    before (0 at first). `draw`: an even random number of 64 bits; loss and jitter are taken from it.
    """
    if rule.cut or draw % MILLION < rule.loss_ppm:
        return Passage(True, 0, free_ns)
    start = max(now_ns, free_ns)
    if rule.rate_bytes_per_s:
        start += size_bytes * _SECOND_NS // rule.rate_bytes_per_s
    jitter_us = draw // MILLION % (rule.jitter_us + 1)
    arrives = max(start + (rule.latency_us + jitter_us) * 1_000, last_ns)
    return Passage(False, arrives, start)
