"""Link faults of a development network: the file in which the supervisor of a local cluster writes them down (C4, C5).

The supervisor writes the same file into every home and sends SIGUSR1; each node reads it then, and when it starts, so
a partition outlives a restart. A node of a production network neither reads the file nor listens to the signal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from node.transport.link_policy import LinkPolicy, LinkRule, PolicyMalformed

FAULTS_FILE: Final = "link-faults.json"
FILE_LIMIT_BYTES: Final = 256 * 1024
"""More than a rule for each direction between 64 members."""


class LinkFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to messages of one company to another; company ids."""

    source: str
    target: str
    cut: bool = False
    latency_us: int = 0
    loss_ppm: int = 0
    rate_bytes_per_s: int = 0


class LinkFaults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of the file."""

    links: tuple[LinkFault, ...] = ()


class FaultsMalformed(Exception):
    """The file cannot be used. The text names the cause."""

    code = "faults_malformed"


_decoder: Final = msgspec.json.Decoder(LinkFaults)


def encode_faults(faults: Sequence[LinkFault]) -> bytes:
    """Return the bytes of the file."""
    return msgspec.json.encode(LinkFaults(links=tuple(faults)))


def read_faults(path: Path, indexes: Mapping[str, int]) -> LinkPolicy:
    """Return the policy in the file; an absent file disturbs nothing. `indexes`: company id -> member index.

    Raises `FaultsMalformed`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return LinkPolicy()
    except OSError as error:
        raise FaultsMalformed(f"{path} cannot be read ({error.strerror})") from None
    if len(data) > FILE_LIMIT_BYTES:
        raise FaultsMalformed(f"{path} has {len(data)} bytes, the limit is {FILE_LIMIT_BYTES}")
    policy = LinkPolicy()
    try:
        for fault in _decoder.decode(data).links:
            rule = LinkRule(
                cut=fault.cut,
                latency_us=fault.latency_us,
                loss_ppm=fault.loss_ppm,
                rate_bytes_per_s=fault.rate_bytes_per_s,
            )
            policy = policy.with_link(indexes[fault.source], indexes[fault.target], rule)
    except (msgspec.DecodeError, UnicodeDecodeError, PolicyMalformed) as error:
        raise FaultsMalformed(f"{path}: {error}") from None
    except KeyError as error:
        raise FaultsMalformed(f"{path}: {error.args[0]!r} is no member of this network") from None
    return policy
