"""Named random streams and integer distributions (M8, SIM6).

Rules
    * A stream is seeded by SHA-256 of the run seed and its name, so adding a node or a fault shifts nobody
      else's draws.
    * Only `getrandbits` of the generator is used; `choice`, `shuffle` and `sample` are ours, because those of the
      standard library changed between Python versions.
    * Distributions are tables of integer quantiles made with `decimal`, which rounds alike on every platform.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from functools import lru_cache
from hashlib import sha256
from random import Random
from typing import TypeVar

T = TypeVar("T")

PPM = 1_000_000
"""Probabilities are integers in parts per million."""
QUANTILE_BITS = 9
QUANTILES = 1 << QUANTILE_BITS


class Rng:
    """One stream. `Rng(42, "net/acme").below(6)` is the same number on every machine."""

    __slots__ = ("_bits", "bits")

    def __init__(self, seed: int, stream: str) -> None:
        digest = sha256(f"{seed}/{stream}".encode()).digest()
        self._bits = Random(int.from_bytes(digest, "big")).getrandbits  # noqa: S311  # simulation, not secrets
        self.bits = self._bits

    def below(self, limit: int) -> int:
        """Return an integer in [0, limit), limit >= 1, without bias."""
        width = limit.bit_length()
        value = self._bits(width)
        while value >= limit:
            value = self._bits(width)
        return value

    def between(self, low: int, high: int) -> int:
        """Return an integer in [low, high], both included."""
        return low + self.below(high - low + 1)

    def chance(self, ppm: int) -> bool:
        """Return True with probability ppm / 1,000,000."""
        return ppm > 0 and self.below(PPM) < ppm

    def choice(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Return `count` different items in drawn order; all of them if there are fewer."""
        pool = list(items)
        picked: list[T] = []
        for _ in range(min(count, len(pool))):
            picked.append(pool.pop(self.below(len(pool))))
        return picked

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return self.sample(items, len(items))

    def quantile(self, table: Sequence[int], scale: int) -> int:
        """Draw from a table of `QUANTILES` per-mille factors of `scale`."""
        return scale * table[self._bits(QUANTILE_BITS)] // 1000


class Streams:
    """The streams of one run, made on first use."""

    __slots__ = ("_made", "seed")

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._made: dict[str, Rng] = {}

    def __getitem__(self, name: str) -> Rng:
        stream = self._made.get(name)
        if stream is None:
            stream = self._made[name] = Rng(self.seed, name)
        return stream


@lru_cache(maxsize=8)
def exponential() -> tuple[int, ...]:
    """Quantiles of the exponential distribution with mean 1, in per mille: -ln(1 - u)."""
    with localcontext() as context:
        context.prec = 20
        return tuple(int(-(1 - _middle(i)).ln() * 1000) for i in range(QUANTILES))


@lru_cache(maxsize=32)
def lognormal(sigma: Decimal) -> tuple[int, ...]:
    """Quantiles of the lognormal distribution with median 1, in per mille: exp(sigma * z)."""
    with localcontext() as context:
        context.prec = 20
        return tuple(int((sigma * _normal(_middle(i))).exp() * 1000) for i in range(QUANTILES))


@lru_cache(maxsize=32)
def uniform(spread: Decimal) -> tuple[int, ...]:
    """Quantiles of the uniform distribution over 1 - spread .. 1 + spread, in per mille."""
    return tuple(int((1 - spread + 2 * spread * _middle(i)) * 1000) for i in range(QUANTILES))


def _middle(index: int) -> Decimal:
    return Decimal(2 * index + 1) / (2 * QUANTILES)


_C = (Decimal("2.515517"), Decimal("0.802853"), Decimal("0.010328"))
_D = (Decimal("1.432788"), Decimal("0.189269"), Decimal("0.001308"))


def _normal(u: Decimal) -> Decimal:
    """Quantile of the standard normal distribution to about 4.5e-4 (Abramowitz and Stegun 26.2.23)."""
    tail = min(u, 1 - u)
    t = (-2 * tail.ln()).sqrt()
    z = t - (_C[0] + t * (_C[1] + t * _C[2])) / (1 + t * (_D[0] + t * (_D[1] + t * _D[2])))
    return z if u > Decimal("0.5") else -z
