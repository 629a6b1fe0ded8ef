"""Local clusters without running one: plans, ports, identities, and a supervisor that answers badly (C7 to C13)."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cli import local, trust
from cli.commands.cluster import banner
from cli.exit_codes import Exit
from cli.failure import CommandFailed
from simulator.cluster import control
from simulator.cluster.plan import PLAN_FILE, PORT_MAX, ClusterError, Plan, clusters_directory, free_ports, load, save
from tests.cli.conftest import Done


def test_a_plan_comes_back_as_it_was_saved(founded: tuple[Path, Plan], tmp_path: Path) -> None:
    save(tmp_path, founded[1])
    assert load(tmp_path) == founded[1]
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"name": 5}', b'{"name": "a", "seed": "b"}'])
def test_a_damaged_plan_is_named_by_every_command(content: bytes, tmp_path: Path, command: Callable[..., Done]) -> None:
    (tmp_path / PLAN_FILE).write_bytes(content)
    for line in (("status",), ("ls",), ("logs",), ("kill", "lifeng"), ("down",), ("path",)):
        done = command("cluster", *line, "--dir", str(tmp_path))
        assert done.code == Exit.NOT_FOUND and PLAN_FILE in done.err and "Traceback" not in done.err, line


def test_c8_identities_are_a_function_of_the_seed(founded: tuple[Path, Plan], tmp_path: Path) -> None:
    again = local.prepare(tmp_path / "again", "net", local.DEMO_CAST, 1, 23_900)
    other = local.prepare(tmp_path / "other", "net", local.DEMO_CAST, 2, 23_900)
    ids = [[node.company_id for node in plan.nodes] for plan in (founded[1], again, other)]
    assert ids[0] == ids[1] and not set(ids[0]) & set(ids[2])
    tokens = [node.token for node in local.nodes_of(tmp_path / "again", again)]
    assert tokens == [node.token for node in local.nodes_of(tmp_path / "again", again)], "made once"
    assert len(set(tokens)) == 4
    assert local.prepare(tmp_path / "again", "renamed", local.DEMO_CAST, 9, 1) == again, "a second up goes on (C13)"


def test_c7_ports_that_are_taken_are_skipped() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        taken = holder.getsockname()[1]
        if taken > PORT_MAX - 100:
            pytest.skip("the kernel gave a port at the very end")
        found = free_ports(taken, 3)
        assert all(taken not in triple for triple in found) and len({port for triple in found for port in triple}) == 9
        assert found[0][0] > taken and found == sorted(found)
    with pytest.raises(ClusterError) as refused:
        free_ports(PORT_MAX - 5, 3)
    assert "--port-base" in str(refused.value)


@pytest.mark.parametrize("count", [0, -1, 17, 99])
def test_an_impossible_number_of_companies_is_refused_with_the_bounds(count: int, command: Callable[..., Done]) -> None:
    done = command("cluster", "up", "-n", str(count), "-d")
    assert done.code == Exit.USAGE and "1 to 16" in done.err
    assert not clusters_directory().exists()


@pytest.mark.parametrize("companies", range(1, 17))
def test_c8_the_banner_always_says_that_the_keys_are_known(companies: int) -> None:
    text = banner(7, companies)
    assert "never use for real data" in text and "seed 7" in text
    assert ("no fault tolerance" in text) == (companies < 4)
    assert len({cast.name for cast in local.cast_of(companies)}) == companies


def test_c12_what_does_not_exist_is_refused_with_the_command_that_makes_it(command: Callable[..., Done]) -> None:
    for line in (
        ("down",),
        ("down", "other"),
        ("status",),
        ("kill", "lifeng"),
        ("path",),
        ("logs",),
        ("purge", "--yes"),
    ):
        done = command("cluster", *line)
        assert done.code == Exit.NOT_FOUND and "there is no cluster in" in done.err and "Next: " in done.err, line
    assert command("cluster", "ls").code == 0


def test_a_cluster_that_is_down_is_shown_as_such(founded: tuple[Path, Plan], command: Callable[..., Done]) -> None:
    directory = str(founded[0])
    done = command("cluster", "status", "--dir", directory, "-o", "json")
    assert done.code == 0 and done.json()["schema"] == "hansa.cluster/1"
    assert {node["state"] for node in done.json()["nodes"]} == {"down"} and "is down" in done.json()["sentence"]
    done = command("cluster", "kill", "lifeng", "--dir", directory)
    assert done.code == Exit.UNAVAILABLE and "is not running" in done.err and "Next: " in done.err
    done = command("cluster", "kill", "lifen", "--dir", directory)
    assert done.code == Exit.NOT_FOUND and "did you mean 'lifeng'" in done.err
    done = command("cluster", "logs", "lifen", "--dir", directory)
    assert done.code == Exit.NOT_FOUND and "did you mean 'lifeng'" in done.err


def test_c13_a_purge_needs_a_yes(founded: tuple[Path, Plan], tmp_path: Path, command: Callable[..., Done]) -> None:
    save(tmp_path, founded[1])
    done = command("cluster", "purge", "--dir", str(tmp_path))
    assert done.code == Exit.USAGE and "--yes" in done.err and (tmp_path / PLAN_FILE).exists()
    done = command("cluster", "purge", "--dir", str(tmp_path), "--yes")
    assert done.code == 0 and not tmp_path.exists()


@contextmanager
def supervisor(directory: Path, answer: bytes) -> Iterator[None]:
    """Answer one request on the control socket with these bytes."""
    listener = socket.socket(socket.AF_UNIX)
    path = control.short_path(directory)
    listener.bind(path)
    listener.listen(1)

    def serve() -> None:
        link, _ = listener.accept()
        with link:
            link.recv(4096)
            link.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(5)
        listener.close()
        Path(path).unlink()


@pytest.mark.parametrize("answer", [b"", b"\n", b"{", b"[1]\n", b"\xff\n", b'"x"\n', b"1" * 70_000])
def test_a_supervisor_that_answers_badly_is_a_refusal_and_no_crash(answer: bytes, tmp_path: Path) -> None:
    with supervisor(tmp_path, answer), pytest.raises(ClusterError):
        control.ask(tmp_path, {"do": "status"})
    with supervisor(tmp_path, answer):
        assert control.is_running(tmp_path) is False


def test_a_refusal_of_the_supervisor_is_handed_on(tmp_path: Path) -> None:
    with supervisor(tmp_path, json.dumps({"error": "no node is called 'x'; the cluster has a, b"}).encode() + b"\n"):
        with pytest.raises(CommandFailed) as refused:
            local.ask(tmp_path, {"do": "kill", "node": "x"})
        assert refused.value.text == "no node is called 'x'" and refused.value.next_step == "the cluster has a, b"
    with supervisor(tmp_path, b'{"nodes": []}\n'):
        assert control.ask(tmp_path, {"do": "status"}) == {"nodes": []}


async def test_c12_a_node_of_another_network_on_the_same_port_is_not_taken_for_ours(
    founded: tuple[Path, Plan], tmp_path: Path
) -> None:
    answer = {"not_ready": [], "chain_id": "00" * 32}

    async def status(_: web.Request) -> web.Response:
        return web.json_response(answer)

    application = web.Application()
    application.router.add_get("/v1/status", status)
    server = TestServer(application)
    await server.start_server()
    directory, plan = founded
    here = msgspec.structs.replace(plan.nodes[0], api_port=server.port)
    node = local.LocalNode(plan=here, home=directory / here.home, token="hansa_x_y")
    assert "another network answers at port" in (await local.wait_ready([node], 0.3))["lifeng"]
    answer["chain_id"] = trust.load(directory / here.home / "genesis.hansa").chain_id.hex()
    assert await local.wait_ready([node], 5) == {}
    answer["not_ready"] = ["syncing"]
    assert (await local.wait_ready([node], 0.3))["lifeng"].startswith("syncing; last log line: ")
    await server.close()


def test_a_deep_folder_has_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    assert len(control.short_path(deep).encode()) < 100
    assert control.short_path(deep) == control.short_path(deep) != control.short_path(deep / "y")
    assert control.is_running(deep) is False
