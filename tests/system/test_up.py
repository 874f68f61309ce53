"""``redsched up``: a whole system from one command, kept alive, and gone without a trace when it is stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from redsched import Client
from redsched.embedded import free_port
from tests.support.processes import Redsched, alive, environment, until
from tests.support.servers import Store


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Redsched]:
    with Redsched("up", "--port", str(free_port()), "--data-dir", str(tmp_path / "data")) as running:
        running.wait_for("Stop with Ctrl-C")
        yield running


def commands(up: Redsched) -> list[str]:
    at = next(n for n, line in enumerate(up.lines) if line.startswith("Try one"))
    return [line.strip() for line in up.lines[at + 1 :] if line.startswith("  ")]


def redis_url(up: Redsched) -> str:
    return up.wait_for("  Redis").split()[1]


def states(client: Client) -> list[str]:
    return sorted(task.state for task in client.list(state="finished").items)


def test_the_three_commands_it_prints_work_as_they_stand(up: Redsched) -> None:
    printed = commands(up)
    assert len(printed) == 3
    for command in printed:
        ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment(), timeout=60)
        assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
    with Client(redis_url(up)) as client:
        until(lambda: states(client) == ["completed"] * 3, up.said)


def test_without_redis_cli_bash_alone_submits_a_task(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "date", "cat"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    arguments = ("up", "--port", str(free_port()), "--data-dir", str(tmp_path / "data"))
    with Redsched(*arguments, env={"PATH": str(tools)}) as up:
        up.wait_for("Stop with Ctrl-C")
        command = commands(up)[2]
        assert "/dev/tcp/" in command
        subprocess.run(["bash", "-c", command], check=True, capture_output=True, timeout=60)
        with Client(redis_url(up)) as client:
            until(lambda: states(client) == ["completed"], up.said)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_however_it_ends_no_process_is_left(up: Redsched, number: int) -> None:
    family = up.family()
    assert len(family) >= 4  # itself, the server, the HTTP interface, the worker
    up.send(number)
    assert up.wait() == (0 if number != signal.SIGKILL else -signal.SIGKILL)
    until(lambda: not alive(family), lambda: f"still running: {alive(family)}\n{up.said()}")


def test_tasks_are_still_there_after_a_stop(tmp_path: Path) -> None:
    arguments = ("up", "--port", "0", "--data-dir", str(tmp_path / "data"))
    with Redsched(*arguments) as first:
        first.wait_for("Stop with Ctrl-C")
        with Client(redis_url(first)) as client:
            client.enqueue("log", {"text": "later"}, id="later", delay="1h")
        first.send(signal.SIGTERM)
        assert first.wait() == 0
    with Redsched(*arguments) as second:
        second.wait_for("Stop with Ctrl-C")
        with Client(redis_url(second)) as client:
            assert client.task("later").state == "scheduled"


def addresses(up: Redsched) -> tuple[str, str]:
    """Of its Redis and of its HTTP interface."""
    up.wait_for("Stop with Ctrl-C")
    return redis_url(up), up.wait_for("  HTTP").split()[1]


def test_its_ports_stay_the_same_from_one_start_to_the_next_and_it_prints_the_line_to_paste(tmp_path: Path) -> None:
    arguments = ("up", "--port", "0", "--data-dir", str(tmp_path / "data"))
    with Redsched(*arguments) as first:
        before = addresses(first)
        first.send(signal.SIGTERM)
        assert first.wait() == 0
    with Redsched(*arguments, "--namespace", "pay") as second:
        assert addresses(second) == before
        line = second.wait_for("export REDSCHED_").strip()
        assert line == f"export REDSCHED_REDIS_URL={before[0]} REDSCHED_NAMESPACE=pay"
        command = f"{line}; {sys.executable} -m redsched queue ls -o json"
        listed = subprocess.run(["bash", "-c", command], capture_output=True, env=environment(), timeout=60)
        assert listed.returncode == 0, listed.stderr


def test_a_kept_port_that_another_program_has_taken_is_replaced(tmp_path: Path) -> None:
    arguments = ("up", "--port", "0", "--data-dir", str(tmp_path / "data"))
    with socket.socket() as redis, socket.socket() as api:
        for taken in (redis, api):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        ports = {"redis": redis.getsockname()[1], "api": api.getsockname()[1]}
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "ports.json").write_text(json.dumps(ports))
        with Redsched(*arguments) as up:
            found = [urlsplit(address).port for address in addresses(up)]
    assert json.loads((tmp_path / "data" / "ports.json").read_text()) == dict(zip(ports, found, strict=True))
    assert not set(found) & set(ports.values())


def test_a_child_that_dies_is_started_again_and_the_message_says_so(up: Redsched) -> None:
    worker = next(pid for pid in up.family() if "worker" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"))
    os.kill(worker, signal.SIGKILL)
    up.wait_for_error("the worker was ended by signal 9; starting it again in 0.5 s")
    with Client(redis_url(up)) as client:
        client.enqueue("log", {"text": "after"})
        until(lambda: states(client) == ["completed"], up.said)


def test_a_server_that_dies_is_started_again_with_its_data(up: Redsched) -> None:
    with Client(redis_url(up)) as client:
        client.enqueue("log", {"text": "before"}, id="kept", delay="1h")
        until(lambda: json.loads(_get(up, "/v1/tasks/kept"))["state"] == "scheduled", up.said)
    server = next(pid for pid in up.family() if b"-server" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0])
    os.kill(server, signal.SIGTERM)  # orderly: what appendfsync everysec may lose is another test's subject
    up.wait_for_error("the Redis server")
    with Client(redis_url(up)) as client:
        assert client.task("kept").state == "scheduled"
        client.reschedule("kept", due=0)
        until(lambda: states(client) == ["completed"], up.said)


def _get(up: Redsched, path: str) -> str:
    import urllib.request

    url = up.wait_for("  HTTP").split()[1]
    with urllib.request.urlopen(url + path, timeout=60) as answer:
        text: str = answer.read().decode()
    return text


def test_a_port_in_use_is_told_with_the_option_to_change(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        arguments = ("up", "--port", str(taken.getsockname()[1]), "--data-dir", str(tmp_path))
        with Redsched(*arguments) as up:
            assert up.wait() == 1
    assert "--port" in up.said()
    assert "Traceback" not in up.said()


def test_a_data_directory_in_use_is_told_with_the_option_to_change(up: Redsched, tmp_path: Path) -> None:
    with Redsched("up", "--port", "0", "--data-dir", str(tmp_path / "data")) as second:
        assert second.wait() == 1
    assert "--data-dir" in second.said()
    assert "Traceback" not in second.said()


def test_an_app_that_cannot_be_loaded_starts_nothing(tmp_path: Path) -> None:
    with Redsched("up", "nowhere.at.all:app", "--port", "0", "--data-dir", str(tmp_path / "data")) as up:
        assert up.wait() == 2
    assert "nowhere" in up.said()
    assert "Traceback" not in up.said()
    assert not (tmp_path / "data").exists()


def test_an_open_address_without_a_token_is_refused(tmp_path: Path) -> None:
    with Redsched("up", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path / "data")) as up:
        assert up.wait() == 2
    assert "REDSCHED_API_TOKEN" in up.said()
    assert "Traceback" not in up.said()


@pytest.mark.parametrize("real_store", ["redis8", "valkey-scripts"], indirect=True)
def test_an_app_of_ones_own_runs_on_its_queues_and_the_users_redis(tmp_path: Path, real_store: Store) -> None:
    (tmp_path / "mine.py").write_text(
        "from redsched import App\napp = App(name='mine')\n"
        "@app.task('greet', queue='hello')\nasync def greet(name: str, n: int = 1) -> str:\n    return f'hi {name}'\n"
    )
    assert real_store.url
    where = ("-r", real_store.url, "--namespace", real_store.namespace)
    with Redsched("up", "mine:app", "--port", "0", *where, "-o", "json", cwd=tmp_path) as up:
        up.wait_for("}")
        addresses: dict[str, Any] = json.loads("\n".join(up.lines))
        assert addresses["redis"] == real_store.url
        with real_store.client() as client:
            client.enqueue("greet", {"name": "you"}, queue="hello", id="one")
            until(lambda: client.task("one", queue="hello").state == "completed", up.said)
            assert client.task("one", queue="hello").result == "hi you"
        up.send(signal.SIGTERM)
        assert up.wait() == 0
