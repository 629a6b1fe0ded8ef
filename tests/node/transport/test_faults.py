"""The file in which a local cluster writes link faults (C4, C5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.transport.faults import FILE_LIMIT_BYTES, FaultsMalformed, LinkFault, encode_faults, read_faults
from node.transport.link_policy import LinkPolicy, LinkRule

INDEXES = {"ca": 0, "cb": 1, "cc": 2}


def test_what_is_written_is_read_as_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "link-faults.json"
    path.write_bytes(
        encode_faults(
            [LinkFault(source="ca", target="cb", cut=True), LinkFault(source="cc", target="ca", latency_us=5_000)]
        )
    )
    policy = read_faults(path, INDEXES)
    assert policy.rule(0, 1) == LinkRule(cut=True) and not policy.severed(0, 1)
    assert policy.rule(2, 0) == LinkRule(latency_us=5_000)
    assert policy.rule(1, 2).transparent


def test_without_a_file_nothing_is_disturbed(tmp_path: Path) -> None:
    assert read_faults(tmp_path / "none.json", INDEXES) == LinkPolicy()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "malformed|truncated"),
        (b'{"links": [{"source": "ca", "target": "cx", "cut": true}]}', "'cx' is no member"),
        (b'{"links": [{"source": "ca", "target": "cb", "loss_ppm": 2000000}]}', "loss is 0 to"),
        (b'{"links": [], "more": 1}', "unknown field"),
        (b"\xff", "."),
        (b" " * (FILE_LIMIT_BYTES + 1), "the limit is"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_whole(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "link-faults.json"
    path.write_bytes(data)
    with pytest.raises(FaultsMalformed, match=words):
        read_faults(path, INDEXES)
