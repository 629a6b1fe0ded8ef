"""Checkers, one property a file (M31, SIM12). Door: `CHECKERS`, all of which run in every run."""

from __future__ import annotations

from typing import Final

from simulator.checkers.agreement import Agreement
from simulator.checkers.base import Checker, View
from simulator.checkers.books import Books
from simulator.checkers.bounds import Bounds
from simulator.checkers.chain_time import ChainTime
from simulator.checkers.commit_certificate import Certificates
from simulator.checkers.durable_before_send import DurableBeforeSend
from simulator.checkers.evidence import Evidence
from simulator.checkers.exec_root import ExecRoot
from simulator.checkers.halts import Halts
from simulator.checkers.honest_votes import HonestVotes
from simulator.checkers.light_client import LightClient
from simulator.checkers.opening import Openings
from simulator.checkers.penalties import Penalties
from simulator.checkers.prefix import Prefix
from simulator.checkers.prepared_certificate import PreparedCertificates
from simulator.checkers.provenance import Provenance
from simulator.checkers.recovery import Recovery
from simulator.checkers.stall import Stall
from simulator.checkers.validity import Receipts, Validity

CHECKERS: Final[tuple[type[Checker], ...]] = (
    Agreement, Prefix, Validity, Receipts, ExecRoot, Certificates, HonestVotes, DurableBeforeSend, Recovery,
    Evidence, Halts, Bounds, ChainTime, Books, Provenance, PreparedCertificates, Openings, Penalties,
    LightClient, Stall,
)  # fmt: skip

__all__ = ["CHECKERS", "Checker", "View"]
