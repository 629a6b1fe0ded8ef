"""The journal: what was appended is there after any end of the process, and damage never votes (P90-P97)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from consensus.events import Lsn
from consensus.messages import Commit, PreparedCertificate, ViewChange
from consensus.records import Anchor, CommittedHere, Left, PreparedHere, Record, Silenced
from ledger.certificate import CommitCertificate, Vote, genesis_certificate
from ledger.errors import InvariantViolated
from node.core.events import JournalBody
from node.store import journal as journal_module
from node.store.errors import JournalFailed, StoreError
from node.store.journal import Journal, JournalImage, JournalVerdict

KEYS = {1: b"k" * 32}
JOURNAL_ID = b"journal-id-00001"
GENESIS = genesis_certificate(b"g" * 32)


def anchor() -> Anchor:
    return Anchor(JOURNAL_ID, 0, 0, 0, GENESIS, None, None, (), (), ())


def committed(height: int) -> CommittedHere:
    vote = Vote(0, 0, height, height.to_bytes(32, "big"))
    return CommittedHere(CommitCertificate(vote, b"\x07", (b"s" * 64,) * 3))


def body(height: int, size: int = 10) -> JournalBody:
    return JournalBody(
        height=height, block_id=height.to_bytes(32, "big"), header=b"header %d" % height, envelopes=(b"e" * size, b"f")
    )


KEPT = tuple(body(height).block_id for height in (5, 6))
"""Bodies that an anchor at entry 7 names, in a journal with bodies up to 6."""


def filled(path: Path, count: int = 5) -> Journal:
    journal = Journal.create(path, KEYS, JOURNAL_ID)
    journal.append([(Lsn(1), anchor(), None)])
    for lsn in range(2, count + 1):
        journal.append([(Lsn(lsn), committed(lsn), body(lsn))])
    return journal


def reopen(journal: Journal, keys: dict[int, bytes] = KEYS) -> tuple[Journal, JournalImage]:
    journal.close()
    return Journal.open(journal.path, keys, JOURNAL_ID)


def test_records_and_bodies_come_back_as_they_were_written(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "journal", KEYS, JOURNAL_ID)
    vote = Vote(0, 3, 9, b"b" * 32)
    certificate = PreparedCertificate(vote, b"header", 1, b"\x07", (b"s" * 64,) * 3)
    records: list[Record] = [
        anchor(),
        PreparedHere(certificate, Commit(2, vote, b"c" * 64)),
        committed(9),
        Left(ViewChange(0, 2, 4, GENESIS, (certificate,), b"v" * 64)),
        Silenced("restored backup"),
    ]
    first = [(Lsn(1), records[0], None), (Lsn(2), records[1], body(9)), (Lsn(3), records[2], body(9))]
    journal.append(first)
    journal.append([(Lsn(4), records[3], None), (Lsn(5), records[4], body(10))])
    assert journal.last_lsn == 5
    journal, image = reopen(journal)
    assert image.voting and image.problem == ""
    assert image.records == tuple((Lsn(lsn), record) for lsn, record in enumerate(records, start=1))
    assert image.bodies == (body(9), body(10))
    journal.append([(Lsn(6), committed(10), None)])
    assert reopen(journal)[1].records[-1] == (6, committed(10))


def test_a_new_journal_is_empty_and_may_vote(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "journal", KEYS, JOURNAL_ID)
    journal, image = reopen(journal)
    assert image.voting and image.records == () == image.bodies and journal.last_lsn == 0
    with pytest.raises(StoreError, match="already holds a journal"):
        Journal.create(tmp_path / "journal", KEYS, JOURNAL_ID)


def test_lsns_have_no_gap(tmp_path: Path) -> None:
    journal = filled(tmp_path / "journal", 2)
    for wrong in (2, 4):
        with pytest.raises(InvariantViolated):
            journal.append([(Lsn(wrong), committed(3), None)])
    journal.append([])
    assert journal.last_lsn == 2


def test_pruning_keeps_the_anchor_and_what_follows(tmp_path: Path) -> None:
    """P93: carried out with the next append; the chain still begins at an anchor."""
    journal = filled(tmp_path / "journal", 6)
    journal.append([(Lsn(7), anchor(), None)])
    journal.prune(Lsn(7), 4, KEPT)
    assert len(reopen(journal)[1].records) == 7  # nothing happened yet, and a crash here is harmless
    journal, _ = reopen(journal)
    journal.prune(Lsn(7), 4, KEPT)
    journal.append([(Lsn(8), committed(8), body(8))])
    journal, image = reopen(journal)
    assert image.voting
    assert [lsn for lsn, _ in image.records] == [7, 8]
    assert [item.height for item in image.bodies] == [5, 6, 8]
    with pytest.raises(InvariantViolated):
        journal.prune(Lsn(9), 0, ())
    journal.append([(Lsn(9), committed(4), body(4))])  # a pruned body can come again
    assert [item.height for item in reopen(journal)[1].bodies] == [4, 5, 6, 8]


def test_p93_bodies_that_the_anchor_does_not_name_go_whatever_their_height(tmp_path: Path) -> None:
    """While nothing commits every view leaves one behind. One that is written again meanwhile is wanted again."""
    journal = filled(tmp_path / "journal", 6)
    journal.append([(Lsn(7), anchor(), None)])
    journal.append([(Lsn(8), committed(4), body(4)), (Lsn(9), committed(9), body(9))])
    journal.prune(Lsn(7), 2, (body(6).block_id,))
    journal.append([(Lsn(10), committed(5), body(5))])
    assert [item.height for item in reopen(journal)[1].bodies] == [4, 5, 6, 9]
    journal, _ = reopen(journal)
    journal.append([(Lsn(11), anchor(), None)])
    journal.prune(Lsn(7), 2, (body(6).block_id,))
    journal.prune(Lsn(11), 2, (body(9).block_id,))
    journal.append([(Lsn(12), committed(10), None)])
    assert [item.height for item in reopen(journal)[1].bodies] == [9]


def test_p93_a_pruning_that_waits_spares_what_was_written_since_over_the_end_of_an_epoch(tmp_path: Path) -> None:
    """P114: the next core reads the journal again before anything is appended, and with it the pruning is done."""
    journal = filled(tmp_path / "journal")
    journal.append([(Lsn(6), anchor(), None)])
    journal.append([(Lsn(7), committed(9), body(9)), (Lsn(8), committed(5), body(5))])
    journal.prune(Lsn(6), 3, ())
    assert [item.height for item in journal.image(JOURNAL_ID).bodies] == [2, 3, 4, 5, 9]
    journal.append([(Lsn(9), committed(10), body(10))])
    assert [item.height for item in reopen(journal)[1].bodies] == [5, 9, 10]


def test_a_missing_journal_never_votes_again(tmp_path: Path) -> None:
    """P97: the node follows without a vote, and stays so after the next start."""
    journal, image = Journal.open(tmp_path / "journal", KEYS, JOURNAL_ID)
    assert image.verdict is JournalVerdict.MISSING and not image.voting and "journal is missing" in image.problem
    journal.append([(Lsn(1), anchor(), None)])
    journal, image = reopen(journal)
    assert image.verdict is JournalVerdict.FOREIGN and not image.voting
    assert image.records == ((1, anchor()),)


def test_a_journal_of_another_key_does_not_vote(tmp_path: Path) -> None:
    journal = filled(tmp_path / "journal")
    journal.close()
    _, image = Journal.open(journal.path, KEYS, b"another-journal!")
    assert image.verdict is JournalVerdict.FOREIGN and JOURNAL_ID.hex() in image.problem
    assert len(image.records) == 5


def _edit(path: Path, change: str) -> None:
    """Damage the log behind the journal's back."""
    environment = lmdb.open(str(path), map_size=journal_module.MAP_BYTES, max_dbs=2)
    log, bodies = environment.open_db(b"log"), environment.open_db(b"bodies")
    with environment.begin(write=True) as transaction:
        rows = dict(transaction.cursor(db=log))
        keys = sorted(rows)
        if change == "gap":
            transaction.delete(keys[3], db=log)
        elif change == "tail":
            transaction.delete(keys[-1], db=log)
        elif change == "first":
            transaction.delete(keys[1], db=log)
        elif change == "all":
            for key in keys[1:]:
                transaction.delete(key, db=log)
        elif change == "head":
            transaction.delete(keys[0], db=log)
        elif change == "swap":
            transaction.put(keys[2], rows[keys[3]], db=log)
        elif change == "bit":
            value = bytearray(rows[keys[2]])
            value[-1] ^= 1
            transaction.put(keys[2], bytes(value), db=log)
        elif change == "body":
            key, value = next(iter(transaction.cursor(db=bodies)))
            transaction.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=bodies)
    environment.close()


@pytest.mark.control("S39", "S40")
@pytest.mark.parametrize("change", ["gap", "tail", "first", "all", "head", "swap", "bit", "body"])
def test_damage_is_seen_kept_aside_and_never_votes(tmp_path: Path, change: str) -> None:
    """P92: a gap, a broken link or a value that does not open means: do not vote, follow."""
    journal = filled(tmp_path / "journal")
    journal.close()
    _edit(journal.path, change)
    journal, image = Journal.open(journal.path, KEYS, JOURNAL_ID)
    assert image.verdict is JournalVerdict.CORRUPT and not image.voting and image.records == ()
    assert "journal.damaged-1" in image.problem and (tmp_path / "journal.damaged-1" / "data.mdb").exists()
    journal.append([(Lsn(1), anchor(), None)])
    assert not reopen(journal)[1].voting


def test_a_file_that_was_cut_short_does_not_kill_the_process(tmp_path: Path) -> None:
    journal = filled(tmp_path / "journal", 40)
    journal.close()
    data = journal.path / "data.mdb"
    os.truncate(data, data.stat().st_size // 2)
    script = (
        "import sys; from pathlib import Path; from node.store.journal import Journal\n"
        f"_, image = Journal.open(Path({str(journal.path)!r}), {KEYS!r}, {JOURNAL_ID!r})\n"
        "print(image.verdict.value)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path.cwd(), check=False)
    assert (done.returncode, done.stdout) == (0, "corrupt\n"), done.stderr


def test_garbage_instead_of_a_journal_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.mkdir()
    (path / "data.mdb").write_bytes(b"not a database" * 1_000)
    assert Journal.open(path, KEYS, JOURNAL_ID)[1].verdict is JournalVerdict.CORRUPT


@pytest.mark.control("S105", "T45")
def test_without_the_key_nothing_opens_and_nothing_is_readable(tmp_path: Path) -> None:
    journal = filled(tmp_path / "journal", 3)
    journal.append([(Lsn(4), Silenced("CANARY-REASON"), body(99))])
    raw = (journal.path / "data.mdb").read_bytes()
    assert b"CANARY-REASON" not in raw and b"header 99" not in raw
    assert reopen(journal, {1: b"?" * 32})[1].verdict is JournalVerdict.CORRUPT


def test_a_failed_write_is_fatal_and_never_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P91: full disk or full map end the process; what was durable before stays."""
    monkeypatch.setattr(journal_module, "MAP_BYTES", 256 * 1024)
    journal = filled(tmp_path / "journal", 3)
    with pytest.raises(JournalFailed) as failure:
        for lsn in range(4, 400):
            journal.append([(Lsn(lsn), committed(lsn), body(lsn, 4_000))])
    assert failure.value.cause == "map_full"
    durable = journal.last_lsn
    with pytest.raises(JournalFailed, match="end this process"):
        journal.append([(Lsn(durable + 1), committed(1), None)])
    monkeypatch.setattr(journal_module, "MAP_BYTES", 512 * 1024)
    journal, image = reopen(journal)
    assert image.voting and image.records[-1][0] == durable == journal.last_lsn


def test_a_full_disk_is_an_error_and_not_a_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mapped lock file gets its blocks first: touching one that the disk cannot back would kill the process."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    journal = filled(tmp_path / "journal", 3)
    journal.close()
    monkeypatch.setattr("node.store.environment.os.posix_fallocate", full)
    with pytest.raises(JournalFailed, match="free space on this file system") as failure:
        Journal.open(journal.path, KEYS, JOURNAL_ID)
    assert failure.value.cause == "disk_full"
    monkeypatch.undo()
    assert Journal.open(journal.path, KEYS, JOURNAL_ID)[1].voting  # nothing was moved aside


_WRITER = """
import sys
from pathlib import Path
from consensus.records import Silenced
from node.store.journal import Journal
journal, image = Journal.open(Path(sys.argv[1]), {1: b"k" * 32}, b"journal-id-00001")
lsn = journal.last_lsn
while True:
    lsn += 1
    journal.append([(lsn, Silenced("x" * 500), None)])
    sys.stdout.write(f"{lsn}\\n")
    sys.stdout.flush()
"""


@pytest.mark.control("S39")
def test_what_was_acknowledged_survives_kill_minus_nine(tmp_path: Path) -> None:
    journal = filled(tmp_path / "journal", 1)
    journal.close()
    acknowledged = 1
    for lines in (1, 7, 30):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(journal.path)], stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert writer.stdout is not None
        for _ in range(lines):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        writer.wait()
        writer.stdout.close()
        journal, image = Journal.open(journal.path, KEYS, JOURNAL_ID)
        assert image.voting
        assert image.records[-1][0] >= acknowledged
        assert [lsn for lsn, _ in image.records] == list(range(1, int(image.records[-1][0]) + 1))
        journal.close()
