"""Block, transaction, receipt and state are checked by somebody who has only the genesis file, with every node off."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from cli.exit_codes import Exit
from tests.e2e.conftest import Cluster
from tests.e2e.test_faults import actor_of, issue

pytestmark = pytest.mark.e2e


async def test_p85_everything_is_checked_offline(cluster: Cluster, tmp_path: Path) -> None:
    client, actor = await actor_of(cluster, "lifeng")
    tx_id = await issue(actor, cluster.nodes["qiming"].plan.company_id, 1)
    done = await client.wait(tx_id, seconds=30)
    await client.get(f"v1/transactions/{tx_id}", {"wait": "10", "until": "final"})
    await client.__aexit__(None, None, None)
    profile = ("--profile", "demo-lifeng")
    files = {name: tmp_path / f"{name}.proof" for name in ("block", "transaction", "receipt", "present", "absent")}
    height = str(done["height"])
    saved = [
        cluster.hansa("block", "show", height, "--save", str(files["block"]), *profile),
        cluster.hansa(
            "tx", "show", tx_id, "--save", str(files["receipt"]), "--save-place", str(files["transaction"]), *profile
        ),
        cluster.hansa("state", "get", "params", "--save", str(files["present"]), *profile),
        cluster.hansa("state", "get", b"tnothing".hex(), "--save", str(files["absent"]), *profile),
    ]
    assert [one.returncode for one in saved] == [0, 0, 0, Exit.NOT_FOUND], [one.stderr for one in saved]
    shutil.copy(cluster.nodes["lifeng"].home / "genesis.hansa", tmp_path / "genesis.hansa")
    cluster.down()

    trust = ("--genesis", str(tmp_path / "genesis.hansa"), "-o", "json")
    found = {}
    for name, path in files.items():
        checked = cluster.hansa("verify", str(path), *trust)
        assert checked.returncode == 0, checked.stderr
        found[name] = json.loads(checked.stdout)
    assert found["block"]["height"] == found["transaction"]["height"] == done["height"]
    assert found["block"]["block"] == found["transaction"]["block"] == found["block"]["about"]
    assert found["transaction"]["about"] == found["receipt"]["about"] == tx_id
    assert len(found["block"]["signers"]) == 3
    assert found["receipt"]["outcome"] == "ok"
    assert found["present"]["present"] is True and found["absent"]["present"] is False

    for path in files.values():
        document = json.loads(path.read_text(encoding="utf-8"))
        raw = bytearray(b64decode(document["bytes"]))
        for position in (len(raw) // 3, len(raw) - 20):
            spoiled = bytearray(raw)
            spoiled[position] ^= 1
            bad = tmp_path / "bad.proof"
            bad.write_text(json.dumps({**document, "bytes": b64encode(bytes(spoiled)).decode()}), encoding="utf-8")
            refused = cluster.hansa("verify", str(bad), *trust)
            assert refused.returncode == Exit.FINDINGS, (path.name, position, refused.stdout)
    other = json.loads(files["transaction"].read_text(encoding="utf-8"))
    (tmp_path / "other.proof").write_text(json.dumps({**other, "about": "00" * 32}), encoding="utf-8")
    assert cluster.hansa("verify", str(tmp_path / "other.proof"), *trust).returncode == Exit.FINDINGS
