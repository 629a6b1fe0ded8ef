"""A company's home: keys that are made later, and what a crash between two writes leaves (S23, P94)."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.governing import Home
from cli.local import cast_of
from node.home import consensus_keys, next_consensus_key
from node.identity.keystore import Keystore
from node.store.journal import Journal, JournalVerdict
from node.store.places import journal_path
from simulator.cluster.found import found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    plan = found(tmp_path / "town", name="town", cast=cast_of(1), seed=7, port_base=13_000)
    return Home(tmp_path / "town" / plan.nodes[0].home)


def test_p94_a_key_whose_making_was_cut_short_can_be_made_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is there, the key is not: nothing was ever signed with it, and the next call goes on."""
    keystore = home.keystore()

    def killed(*_: object, **__: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Keystore, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            next_consensus_key(keystore, home.data)
    place = journal_path(home.data, 2)
    assert place.exists() and len(consensus_keys(keystore)) == 1
    made = next_consensus_key(keystore, home.data)
    stored = consensus_keys(keystore)[1]
    assert stored.signing_key().public_key == made.public_key
    journal, image = Journal.open(place, keystore.seal_keys("journal"), stored.journal_id)
    assert image.verdict is JournalVerdict.OURS and image.records == ()
    journal.close()
    keystore.close()
    assert place.with_name("journal-2.unused-1").exists(), "nothing is deleted"
