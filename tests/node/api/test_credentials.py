"""Tokens, sessions, hosts, limits: who gets in, and that refusals tell nothing (S45-S54)."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from ledger.codec import encode
from ledger.registry.lookup import company_key, read_company, read_user, user_key
from node.api.limits import NS, Buckets, LoginGuard, Rate, RateSettings, prefix_of
from node.api.sessions import IDLE_MS, LIFE_MS, LINK_MS, SessionStore, csrf_matches
from node.api.tokens import DAY_MS, LAST_USE_STEP_MS, TokenError, TokenStore


def make(store: TokenStore, **changes: Any) -> str:
    settings: dict[str, Any] = {
        "company_id": "c1", "user_id": "u1", "label": "x", "scopes": ("read",), "now_ms": 1_000_000, "life_ms": DAY_MS,
    }  # fmt: skip
    return store.create(**{**settings, **changes})[1]


# -- tokens


@pytest.mark.control("S45")
def test_s45_only_the_hash_is_kept_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    text = make(TokenStore(path), token_id="erp")
    secret = text.split("_")[2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in path.read_text() and text not in path.read_text()
    again = TokenStore(path)
    found = again.verify(text, "10.0.0.1", 1_000_001)
    assert found is not None and found.id == "erp"


def test_s45_a_token_ends_by_time_by_revoking_and_by_address(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "t.json")
    text = make(store, token_id="a", networks=("10.0.0.0/8", "fd00::/8"))
    assert store.verify(text, "10.1.2.3", 2_000_000)
    assert store.verify(text, "::ffff:10.1.2.3", 2_000_000), "a mapped address is the same address"
    assert store.verify(text, "192.168.0.1", 2_000_000) is None
    assert store.verify(text, "nonsense", 2_000_000) is None
    assert store.verify(text, "10.1.2.3", 1_000_000 + DAY_MS) is None
    store.revoke("a", 3_000_000)
    assert store.verify(text, "10.1.2.3", 3_000_001) is None
    assert store.in_force("a", 3_000_001) is None


@pytest.mark.parametrize(
    "text",
    ["", "hansa_", "hansa_a_b", "bearer", "hansa_a_" + "0" * 64, "hansa_A_" + "0" * 64, "x" * 500, "hansa_a_" + "é" * 64],
)  # fmt: skip
def test_s53_wrong_tokens_are_refused(text: str) -> None:
    store = TokenStore(None)
    make(store, token_id="a")
    assert store.verify(text, "127.0.0.1", 1_000_001) is None


def test_s45_bounds_of_a_new_token(tmp_path: Path) -> None:
    store = TokenStore(None)
    for changes in (
        {"life_ms": 91 * DAY_MS}, {"life_ms": 0}, {"scopes": ()}, {"scopes": ("sign",)}, {"networks": ("10.0.0.0/99",)},
        {"token_id": "Über"}, {"secret": b"short"},
    ):  # fmt: skip
        with pytest.raises(TokenError):
            make(store, **changes)
    make(store, token_id="twice")
    with pytest.raises(TokenError, match="exists"):
        make(store, token_id="twice")


def test_two_processes_change_one_file(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    node, command_line = TokenStore(path), TokenStore(path)
    first = make(node, token_id="one")
    second = make(command_line, token_id="two")
    assert node.verify(second, "127.0.0.1", 1_000_001) and command_line.verify(first, "127.0.0.1", 1_000_001)
    command_line.revoke("one", 1_000_002)
    assert node.verify(first, "127.0.0.1", 1_000_003) is None


def test_s45_a_power_failure_after_a_use_leaves_tokens_and_revocations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was renamed before it was synced may be a name without content afterwards."""
    path = tmp_path / "tokens.json"
    store = TokenStore(path)
    text = make(store, token_id="kept")
    make(store, token_id="gone")
    store.revoke("gone", 1_000_000)
    synced: set[int] = set()
    fsync, replace = os.fsync, os.replace

    def noted(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def moved(source: Path, target: Path) -> None:
        if os.stat(source).st_ino not in synced:
            source.write_bytes(b"")  # the power fails right behind the rename
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", moved)
    used_ms = 1_000_000 + LAST_USE_STEP_MS
    assert store.verify(text, "127.0.0.1", used_ms)
    again = TokenStore(path)
    found = again.in_force("kept", used_ms)
    assert found is not None and found.last_used_ms == used_ms
    assert again.in_force("gone", used_ms) is None


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Let the file of tokens be written only while `full` is False; `tried` counts the failures."""
    disk = SimpleNamespace(full=False, tried=0)
    real = os.open

    def opened(path: Any, flags: int, *args: Any, **named: Any) -> int:
        if disk.full and str(path).endswith(".new"):
            disk.tried += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, flags, *args, **named)

    monkeypatch.setattr(os, "open", opened)
    return disk


def test_s45_a_full_disk_keeps_nobody_with_a_good_token_out(tmp_path: Path, full_disk: SimpleNamespace) -> None:
    """The use is not noted, which is tried once a minute and logged once until it works again."""
    store = TokenStore(tmp_path / "tokens.json")
    text = make(store, token_id="erp")
    start_ms = 1_000_000 + LAST_USE_STEP_MS
    full_disk.full = True
    with capture_logs() as logs:
        for now_ms in (start_ms, start_ms + 1, start_ms + LAST_USE_STEP_MS):
            assert store.verify(text, "127.0.0.1", now_ms)
    assert full_disk.tried == 2 and [line["event"] for line in logs] == ["token_use_not_noted"]
    full_disk.full = False
    assert store.verify(text, "127.0.0.1", start_ms + 2 * LAST_USE_STEP_MS)
    found = TokenStore(tmp_path / "tokens.json").in_force("erp", start_ms)
    assert found is not None and found.last_used_ms == start_ms + 2 * LAST_USE_STEP_MS


def test_s45_a_change_that_was_not_written_is_not_taken_for_done(tmp_path: Path, full_disk: SimpleNamespace) -> None:
    """Revoking again must write what the first attempt could not: else the token would be back after a restart."""
    path = tmp_path / "tokens.json"
    store = TokenStore(path)
    full_disk.full = True
    with pytest.raises(OSError, match="No space left"):
        make(store, token_id="erp")
    assert store.list("c1") == ()
    full_disk.full = False
    make(store, token_id="erp")
    full_disk.full = True
    with pytest.raises(OSError, match="No space left"):
        store.revoke("erp", 1_000_001)
    full_disk.full = False
    assert store.revoke("erp", 1_000_002)
    assert TokenStore(path).in_force("erp", 1_000_003) is None


def test_s36_a_token_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    make(TokenStore(path))
    os.chmod(path, 0o644)
    with pytest.raises(TokenError, match="chmod 600"):
        TokenStore(path)
    os.chmod(path, 0o600)
    path.write_text("{half")
    with pytest.raises(TokenError, match="damaged"):
        TokenStore(path)


def test_deterministic_secret_for_development_networks() -> None:
    texts = {make(TokenStore(None), token_id="acme", secret=bytes(32)) for _ in range(2)}
    assert texts == {"hansa_acme_" + "00" * 32}


# -- sessions


@pytest.mark.control("S46")
def test_s46_sessions_end_by_idling_and_by_age() -> None:
    store = SessionStore()
    session_id, session = store.open(token_id="t", company_id="c", user_id="u", now_ms=0)
    assert len(session_id) == 64 and store.find(session_id, IDLE_MS - 1) is session
    assert store.find(session_id, IDLE_MS - 1 + IDLE_MS) is None, "15 minutes without use"
    session_id, _ = store.open(token_id="t", company_id="c", user_id="u", now_ms=0)
    for now in range(0, LIFE_MS, IDLE_MS // 2):
        assert store.find(session_id, now)
    assert store.find(session_id, LIFE_MS) is None, "eight hours at most"


def test_s46_looking_is_not_using() -> None:
    store = SessionStore()
    session_id, _ = store.open(token_id="t", company_id="c", user_id="u", now_ms=0)
    assert store.find(session_id, IDLE_MS - 1, touch=False)
    assert store.find(session_id, IDLE_MS) is None


def test_s45_a_link_works_once_and_for_a_minute() -> None:
    store = SessionStore()
    code = store.make_link(token_id="t", company_id="c", user_id="u", now_ms=0)
    assert store.use_link(code, LINK_MS - 1) == ("t", "c", "u")
    assert store.use_link(code, LINK_MS - 1) is None
    late = store.make_link(token_id="t", company_id="c", user_id="u", now_ms=0)
    assert store.use_link(late, LINK_MS) is None


def test_s48_csrf_tokens_differ_and_compare() -> None:
    store = SessionStore()
    _, one = store.open(token_id="t", company_id="c", user_id="u", now_ms=0)
    _, two = store.open(token_id="t", company_id="c", user_id="u", now_ms=0)
    assert csrf_matches(one, one.csrf) and not csrf_matches(one, two.csrf) and not csrf_matches(one, "")


# -- limits


@pytest.mark.control("S52", "T28")
def test_s52_buckets_refill_and_one_principal_does_not_starve_others() -> None:
    buckets = Buckets(RateSettings(principal=Rate(per_second=10, burst=20)))

    def ask(principal: str, now_ns: int) -> int:
        return buckets.charge(
            principal=principal, company="c", address="10.0.0.1", weight=10, now_ns=now_ns
        ).retry_after_s

    assert [ask("a", 0), ask("a", 0)] == [0, 0]
    assert ask("a", 0) >= 1
    assert ask("b", 0) == 0, "another principal of the same company goes on"
    assert ask("a", NS) == 0


def test_s52_a_named_principal_may_be_raised() -> None:
    fast = Rate(per_second=10_000, burst=50_000)
    buckets = Buckets(RateSettings(named={"bench": fast}))
    for _ in range(1_000):
        assert not buckets.charge(principal="bench", company="c", address="::1", weight=20, now_ns=0).retry_after_s


def test_s52_prefixes() -> None:
    assert prefix_of("10.1.2.3") == "10.1.2.0/24" == prefix_of("::ffff:10.1.2.99")
    assert prefix_of("2001:db8:1:2:3::4") == "2001:db8:1:2::/64"
    assert prefix_of("nonsense") == "unknown"


@pytest.mark.control("S53")
def test_s53_failures_grow_a_delay() -> None:
    guard = LoginGuard()
    for _ in range(4):
        guard.failed("10.0.0.1", 0)
    assert guard.wait_s("10.0.0.1", 0) == 0
    waits = []
    for _ in range(4):
        guard.failed("10.0.0.7", 0)
        waits.append(guard.wait_s("10.0.0.1", 0))
    assert waits == sorted(waits) and waits[0] >= 1 and waits[-1] >= 8
    assert guard.wait_s("10.0.1.1", 0) == 0, "another network is not slowed down"
    guard.succeeded("10.0.0.1")
    assert guard.wait_s("10.0.0.1", 0) == 0


# -- over HTTP


@pytest.mark.control("S53")
async def test_s53_every_bad_credential_gets_the_same_answer(world: Any, client: Any) -> None:
    good = world.token("preparer", token_id="good")
    revoked = world.token("preparer", token_id="gone")
    world.token_store.revoke("gone", world.now_ms)
    old = world.token("preparer", token_id="old", life_ms=1)
    elsewhere = world.token("preparer", token_id="far", networks=("10.9.0.0/16",))
    bodies = set()
    for text in (f"hansa_good_{'0' * 64}", f"hansa_none_{'0' * 64}", revoked, old + "", elsewhere):
        world.now_ms += 1_000
        answer = await client.get("/v1/whoami", headers={"Authorization": f"Bearer {text}"})
        assert answer.status == 401
        body = await answer.json()
        body.pop("request_id")
        bodies.add(msgspec.json.encode(body))
        if len(bodies) > 1:
            break
    assert len(bodies) == 1
    answer = await client.get("/v1/whoami", headers={"Authorization": f"Bearer {good}"})
    assert answer.status == 429, "after five failures the network waits"
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.control("S49", "T40")
async def test_s49_t40_a_foreign_host_is_refused(client: Any) -> None:
    answer = await client.get("/v1/status", headers={"Host": "evil.example"})
    assert answer.status == 421 and (await answer.json())["code"] == "wrong_host"


@pytest.mark.control("S51", "T26")
async def test_s51_t26_compressed_bodies_are_refused(world: Any, client: Any) -> None:
    headers = {
        "Authorization": f"Bearer {world.token()}",
        "Content-Type": "application/msgpack",
        "Content-Encoding": "gzip",
    }
    answer = await client.post("/v1/transactions", data=b"\x1f\x8b", headers=headers)
    assert answer.status == 415


async def test_u32_bodies_over_the_limit_and_of_the_wrong_type(world: Any, client: Any) -> None:
    headers = {"Authorization": f"Bearer {world.token()}"}
    big = await client.post(
        "/v1/transactions", data=bytes(200 * 1024), headers={**headers, "Content-Type": "application/msgpack"}
    )
    assert big.status == 413 and (await big.json())["limit_bytes"] == 128 * 1024

    async def endless() -> Any:
        for _ in range(40):
            yield bytes(10_000)

    chunked = await client.post(
        "/v1/transactions", data=endless(), headers={**headers, "Content-Type": "application/msgpack"}
    )
    assert chunked.status == 413
    wrong = await client.post("/v1/transactions", json={}, headers=headers)
    assert wrong.status == 415


@pytest.mark.control("S27", "S21")
async def test_s27_a_suspended_user_or_company_is_out_at_once(world: Any, client: Any) -> None:
    headers = {"Authorization": f"Bearer {world.token('preparer')}"}
    assert (await client.get("/v1/invoices", headers=headers)).status == 200
    person = world.people_keys[0, "preparer"]
    user = read_user(world.view(), person.user_id)
    suspended = msgspec.structs.replace(user, status="suspended")
    world.replace_record(user_key(person.user_id), encode(suspended))
    assert (await client.get("/v1/invoices", headers=headers)).status == 401
    world.replace_record(user_key(person.user_id), encode(user))
    assert (await client.get("/v1/invoices", headers=headers)).status == 200
    company = read_company(world.view(), world.company_id)
    world.replace_record(company_key(world.company_id), encode(msgspec.structs.replace(company, status="suspended")))
    refused = await client.get("/v1/invoices", headers=headers)
    assert refused.status == 401
    assert (await refused.json())[
        "detail"
    ] == "Your company is not active on this network (suspended): its people are shut out."
    wrong = await client.get("/v1/invoices", headers={"Authorization": "Bearer hansa_no_such_token"})
    assert "suspended" not in await wrong.text(), "who shows no good credential learns nothing (S53)"


async def test_u18_a_rate_limit_says_how_long(world: Any, connect: Any) -> None:
    client = await connect(world, rates=RateSettings(principal=Rate(per_second=1, burst=12)))
    headers = {"Authorization": f"Bearer {world.token()}"}
    first = await client.get("/v1/inbox", headers=headers)
    assert first.status == 200 and "r=2" in first.headers["RateLimit"]
    second = await client.get("/v1/inbox", headers=headers)
    assert second.status == 429 and int(second.headers["Retry-After"]) >= 8
    assert (await second.json())["retryable"] is True


async def test_tokens_are_managed_by_the_administrator(world: Any, client: Any) -> None:
    admin = {"Authorization": f"Bearer {world.token('admin', scopes=['read', 'admin'])}"}
    person = world.people_keys[0, "treasurer"]
    made = await client.post("/v1/tokens", json={"user": person.user_id, "label": "till", "days": 3}, headers=admin)
    assert made.status == 201
    text = (await made.json())["token"]
    mine = {"Authorization": f"Bearer {text}"}
    assert (await (await client.get("/v1/whoami", headers=mine)).json())["user"] == person.user_id
    listed = await (await client.get("/v1/tokens", headers=admin)).json()
    assert text not in str(listed) and {item["label"] for item in listed["items"]} >= {"till"}
    token_id = text.split("_")[1]
    assert (await client.delete(f"/v1/tokens/{token_id}", headers=admin)).status == 200
    assert (await client.get("/v1/whoami", headers=mine)).status == 401
    stranger = world.people_keys[1, "preparer"]
    refused = await client.post("/v1/tokens", json={"user": stranger.user_id}, headers=admin)
    assert refused.status == 422
    approver = {"Authorization": f"Bearer {world.token('approver', scopes=['read', 'admin'])}"}
    assert (await client.get("/v1/tokens", headers=approver)).status == 403, "the role decides, not the scope alone"
