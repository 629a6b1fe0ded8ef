"""Who may ask how often (S52, S53): weighted token buckets, and a growing delay after failed logins.

Times are nanoseconds of a monotonic clock, handed in. Every table is bounded; the entry unused for longest leaves.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

NS: Final = 1_000_000_000
BUCKETS_MAX: Final = 20_000
FAILURES_FREE: Final = 5
FAILURE_WINDOW_NS: Final = 15 * 60 * NS
FAILURE_DELAY_MAX_S: Final = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Units per second and the largest burst."""

    per_second: int
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSettings:
    """Start values of S52; `named` raises them for principals by token id (ERP batches, `hansa bench`)."""

    principal: Rate = Rate(per_second=100, burst=500)
    company: Rate = Rate(per_second=400, burst=2_000)
    prefix: Rate = Rate(per_second=400, burst=2_000)
    named: Mapping[str, Rate] | None = None


@dataclass(slots=True)
class _Bucket:
    level: float
    filled_ns: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`retry_after_s` is 0 when the request may go on; `remaining` is for the RateLimit header (U32)."""

    retry_after_s: int
    remaining: int
    rate: Rate


class Buckets:
    """Token buckets by name; all buckets of one request are charged, or none."""

    def __init__(self, settings: RateSettings) -> None:
        self._settings = settings
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def charge(self, *, principal: str, company: str, address: str, weight: int, now_ns: int) -> Verdict:
        """Take `weight` units from principal, company and address prefix."""
        own = (self._settings.named or {}).get(principal)
        rows = [("a:" + prefix_of(address), _wider(self._settings.prefix, own))]
        if principal:
            rows.insert(0, ("p:" + principal, own or self._settings.principal))
        if company:
            rows.append(("c:" + company, _wider(self._settings.company, own)))
        filled = [(self._fill(name, rate, now_ns), rate) for name, rate in rows]
        wait_s = 0
        for bucket, rate in filled:
            missing = weight - bucket.level
            if missing > 0:
                wait_s = max(wait_s, int(missing / rate.per_second) + 1)
        if not wait_s:
            for bucket, _ in filled:
                bucket.level -= weight
        first, rate = filled[0]
        return Verdict(wait_s, max(0, int(first.level)), rate)

    def _fill(self, name: str, rate: Rate, now_ns: int) -> _Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            while len(self._buckets) >= BUCKETS_MAX:
                self._buckets.popitem(last=False)
            bucket = self._buckets[name] = _Bucket(float(rate.burst), now_ns)
            return bucket
        self._buckets.move_to_end(name)
        grown = (now_ns - bucket.filled_ns) / NS * rate.per_second
        bucket.level = min(float(rate.burst), bucket.level + max(0.0, grown))
        bucket.filled_ns = max(bucket.filled_ns, now_ns)
        return bucket


def _wider(shared: Rate, own: Rate | None) -> Rate:
    """A raised principal must not be held back by the bucket it shares with others of its company."""
    if own is None:
        return shared
    return Rate(per_second=max(shared.per_second, own.per_second), burst=max(shared.burst, own.burst))


def prefix_of(address: str) -> str:
    """Return the address prefix that shares one bucket: /24 for IPv4, /64 for IPv6 (S52)."""
    try:
        where = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(where, ipaddress.IPv6Address):
        if where.ipv4_mapped is None:
            return str(ipaddress.ip_network((where, 64), strict=False))
        where = where.ipv4_mapped
    return str(ipaddress.ip_network((where, 24), strict=False))


@dataclass(slots=True)
class _Failures:
    count: int
    first_ns: int
    blocked_until_ns: int


class LoginGuard:
    """Five failures in 15 minutes are free, then each doubles the delay for that address prefix (S53)."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait_s(self, address: str, now_ns: int) -> int:
        """Return the seconds to wait before another attempt is looked at; 0 means now."""
        entry = self._failures.get(prefix_of(address))
        if entry is None or now_ns >= entry.blocked_until_ns:
            return 0
        return int((entry.blocked_until_ns - now_ns) / NS) + 1

    def failed(self, address: str, now_ns: int) -> None:
        prefix = prefix_of(address)
        entry = self._failures.get(prefix)
        if entry is None or now_ns - entry.first_ns > FAILURE_WINDOW_NS:
            while len(self._failures) >= BUCKETS_MAX:
                self._failures.popitem(last=False)
            entry = self._failures[prefix] = _Failures(0, now_ns, 0)
        entry.count += 1
        over = entry.count - FAILURES_FREE
        if over >= 0:
            entry.blocked_until_ns = now_ns + min(2 ** min(over, 20), FAILURE_DELAY_MAX_S) * NS

    def succeeded(self, address: str) -> None:
        self._failures.pop(prefix_of(address), None)
