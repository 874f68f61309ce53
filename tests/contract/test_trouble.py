"""What goes wrong with a server, and the error that each client makes of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from redsched import Settings
from redsched.embedded import free_port
from redsched.model.errors import StoreDenied, StoreError, StoreFull, StoreReadOnly, StoreUnavailable
from redsched.wire.redis_errors import Refused, Unanswered
from tests.campaign.proxy import Proxy
from tests.support import servers
from tests.support.clients import Connect
from tests.support.processes import until

QUICK = Settings(retry_for_ms=200, redis_timeout_ms=10_000)
VERBS: list[Callable[[Any], Any]] = [
    lambda client: client.enqueue("t"), lambda client: client.cancel("a"), lambda client: client.show("a"),
    lambda client: client.stats(["default"]), lambda client: client.queues(), lambda client: client.ping(),
    lambda client: client.install(),
]  # fmt: skip
NAMES = ["enqueue", "cancel", "show", "stats", "queues", "ping", "install"]
WRITES = ["enqueue", "cancel", "install"]


@pytest.mark.parametrize(("verb", "name"), list(zip(VERBS, NAMES, strict=True)), ids=NAMES)
def test_a_server_that_is_down_is_unavailable_after_a_short_while(
    connect: Connect, verb: Callable[[Any], Any], name: str
) -> None:
    where = f"127.0.0.1:{free_port()}/0"
    client = connect(f"redis://me:secret@{where}", settings=QUICK)
    begun = time.monotonic()

    with pytest.raises(StoreUnavailable) as caught:
        verb(client)

    assert time.monotonic() - begun < 9
    assert caught.value.problem
    told = str(caught.value)
    assert told.startswith(f"{name}: cannot reach Redis at redis://me:***@{where} (")
    nothing = "; nothing was written" if name in WRITES else ""
    assert told.endswith(f"){nothing}. Set REDSCHED_REDIS_URL, or redis_url, if it is another Redis")
    assert ("nothing" in told) == (name in WRITES) and "secret" not in told


def test_a_plain_command_has_a_time_out_of_its_own_and_the_next_one_has_another_connection(
    own_url: str, connect: Connect
) -> None:
    client = connect(own_url, settings=Settings(redis_timeout_ms=30_000))
    begun = time.monotonic()

    with pytest.raises(Unanswered):
        client.over_transport("command", "BLPOP", "nothing", 25, timeout=0.2)

    assert time.monotonic() - begun < 20
    assert client.over_transport("command", "ECHO", "on") == b"on"


def test_a_plain_command_may_take_longer_than_the_usual_time_out(own_url: str, connect: Connect) -> None:
    client = connect(own_url, settings=Settings(redis_timeout_ms=500))

    assert client.over_transport("command", "BLPOP", "nothing", 1, timeout=30.0) is None


def test_a_plain_command_that_redis_refuses_is_refused(own_url: str, connect: Connect) -> None:
    with pytest.raises(Refused, match="unknown command"):
        connect(own_url).over_transport("command", "NOSUCH")


def test_a_call_waits_for_a_server_that_comes_up(connect: Connect, tmp_path: Any) -> None:
    with servers.start_valkey(tmp_path) as server:
        url, port = server.url, server.port
        client = connect(url)
        client.enqueue("t", id="before")
        server.kill()
        timer = threading.Thread(target=server.restart)
        timer.start()

        assert client.enqueue("t", id="after").status == "created"

        timer.join()
        assert server.port == port
        assert client.show(["before", "after"])["after"] is not None


@pytest.mark.parametrize(("verb", "name"), list(zip(VERBS, NAMES, strict=True)), ids=NAMES)
def test_a_wrong_password_is_denied(own_url: str, connect: Connect, verb: Callable[[Any], Any], name: str) -> None:
    with servers.connect(own_url) as connection:
        connection.config_set("requirepass", "right")
        for url in (own_url.replace("redis://", "redis://:wrong@"), own_url):
            with pytest.raises(StoreDenied) as caught:
                verb(connect(url, settings=QUICK))
            told = str(caught.value)
            assert told.startswith(f"{name}: ")
            assert told.endswith("; nothing was written") if name in WRITES else "nothing" not in told
        connection.config_set("requirepass", "")


def test_the_right_password_is_let_in(own_url: str, connect: Connect) -> None:
    with servers.connect(own_url) as connection:
        connection.config_set("requirepass", "right")
        assert connect(own_url.replace("redis://", "redis://:right@")).enqueue("t").status == "created"
        connection.config_set("requirepass", "")


def test_a_replica_is_read_only(own_url: str, connect: Connect) -> None:
    connect(own_url).install()
    connect(own_url).enqueue("t", id="a", delay="1h")
    with servers.connect(own_url) as connection:
        connection.replicaof("127.0.0.1", free_port())
        try:
            client = connect(own_url, settings=QUICK)
            for verb in (lambda: client.enqueue("t"), lambda: client.cancel("a"), client.start):
                with pytest.raises(StoreReadOnly, match=r"nothing was written$"):
                    verb()
            assert client.ping().role == "slave"
            assert client.task("a").state == "scheduled"
        finally:
            connection.replicaof("NO", "ONE")


def test_a_call_follows_the_way_to_the_new_primary(connect: Connect, tmp_path: Path) -> None:
    """The address leads elsewhere since a failover, and nobody has cut the connections to the old primary."""
    with (
        servers.start_valkey(tmp_path / "old") as old,
        servers.start_valkey(tmp_path / "new") as new,
        Proxy(old.port) as way,
    ):
        client = connect(f"redis://127.0.0.1:{way.port}/0")
        client.enqueue("t", id="before", delay="1h")
        with servers.connect(old.url) as above, servers.connect(new.url) as below:
            above.config_set("repl-diskless-sync-delay", 0)
            below.replicaof("127.0.0.1", str(old.port))
            until(lambda: below.info("replication")["master_link_status"] == "up" and above.wait(1, 100))
            below.replicaof("NO", "ONE")
            way.target = new.port
            above.replicaof("127.0.0.1", str(new.port))

        assert client.enqueue("t", id="after", delay="1h").status == "created"

        assert client.task("before").state == "scheduled"


def test_a_full_server_refuses_producers_and_lets_the_rest_go_on(own_url: str, connect: Connect) -> None:
    client = connect(own_url)
    client.enqueue("t", id="a")
    client.enqueue("t", id="b", delay="1h")
    with servers.connect(own_url) as connection:
        before = connection.keys("*")
        connection.config_set("maxmemory", 1)
        begun = time.monotonic()

        with pytest.raises(StoreFull, match=r"nothing was written$") as caught:
            client.enqueue("t", id="c")

        assert time.monotonic() - begun < 9, "a full server is not asked again and again"
        assert "OOM" in caught.value.problem
        assert sorted(connection.keys("*")) == sorted(before)
        assert [client.settle(one, "complete") for one in client.start()] == ["completed"]
        assert client.cancel("b") == {"b": "cancelled"}
        connection.config_set("maxmemory", 0)
        assert client.enqueue("t", id="c").status == "created"


def test_a_server_that_is_busy_with_a_script_is_waited_for(own_url: str, connect: Connect) -> None:
    client = connect(own_url)
    client.enqueue("t")
    with servers.connect(own_url) as connection, servers.connect(own_url) as culprit:
        connection.config_set("busy-reply-threshold", 1)

        def loop() -> None:
            with contextlib.suppress(redis.RedisError):
                culprit.eval("while true do end", 0)

        thread = threading.Thread(target=loop)
        thread.start()
        while not _busy(connection):
            time.sleep(0.005)
        quick = connect(own_url, settings=QUICK)
        with pytest.raises(StoreUnavailable, match=r"nothing was written$") as caught:
            quick.enqueue("t")
        assert "BUSY" in caught.value.problem

        killer = threading.Thread(target=connection.script_kill)
        killer.start()
        assert client.enqueue("t").status == "created"
        killer.join()
        thread.join()


def _busy(connection: redis.Redis) -> bool:
    try:
        connection.get("x")
    except redis.RedisError as error:
        return "busy" in str(error).lower()
    return False


def test_another_database_or_user_that_does_not_exist_is_refused(own_url: str, connect: Connect) -> None:
    with pytest.raises(StoreError, match=r"nothing was written$"):
        connect(own_url.replace("/0", "/99"), settings=QUICK).enqueue("t")
    with pytest.raises(StoreDenied, match=r"nothing was written$"):
        connect(own_url.replace("redis://", "redis://nobody:x@"), settings=QUICK).enqueue("t")


def test_a_password_is_in_no_error(own_url: str, connect: Connect) -> None:
    for url in (f"redis://:hunter2@127.0.0.1:{free_port()}/0", own_url.replace("redis://", "redis://:hunter2@")):
        with pytest.raises(StoreError) as caught:
            connect(url, settings=QUICK).enqueue("t")
        assert "hunter2" not in str(caught.value)


def test_a_client_is_usable_from_many_threads_at_once(own_url: str) -> None:
    from redsched.client import Client

    with Client(own_url) as client:
        answers: list[str] = []

        def work() -> None:
            answers.extend(client.enqueue("t").status for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == ["created"] * 160
        assert client.stats(["default"])[0].totals["enqueued"] == 160


def test_a_key_of_the_wrong_type_is_a_store_error_and_nothing_is_written(own_url: str, connect: Connect) -> None:
    client = connect(own_url, settings=QUICK)
    with servers.connect(own_url) as connection:
        connection.set("{rs}:due:default", "mine")

        with pytest.raises(StoreError):
            client.enqueue("t", delay="1h")

        assert connection.keys("{rs}:task:*") == []
