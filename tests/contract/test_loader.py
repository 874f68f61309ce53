"""How the Lua comes to a server and stays there: never a step back, and healed where it was taken away."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from redsched.client import Client
from redsched.model.errors import InvalidTask, StoreDenied
from redsched.wire import scripts
from tests.support import servers
from tests.support.clients import Connect
from tests.support.servers import Store

MINE = [scripts.BUILD, scripts.digest()]


def library(build: int, digest: str = "other") -> str:
    """The library as another release would have it."""
    mine = f"local EVALSHA, BUILD, DIGEST = false, {scripts.BUILD}, '{scripts.digest()}'"
    assert mine in scripts.library()
    return scripts.library().replace(mine, f"local EVALSHA, BUILD, DIGEST = false, {build}, '{digest}'")


def loaded(url: str) -> Any:
    """The build and digest on the server."""
    with servers.connect(url) as connection:
        return connection.fcall(scripts.PREFIX + "version", 0)


def load(url: str, code: str) -> None:
    """Put a library there, whatever was there before."""
    with servers.connect(url) as connection:
        connection.function_load(code, replace=True)


def test_an_empty_server_gets_the_library_with_the_first_call(own_url: str, connect: Connect) -> None:
    assert connect(own_url).enqueue("t").status == "created"

    assert loaded(own_url) == MINE


def test_a_newer_build_is_left_alone_and_used(own_url: str, connect: Connect) -> None:
    load(own_url, library(scripts.BUILD + 98))
    client = connect(own_url)

    assert client.enqueue("t").status == "created"
    assert client.install().build == scripts.BUILD + 98

    assert loaded(own_url) == [scripts.BUILD + 98, "other"]
    assert client.ping().build == scripts.BUILD + 98


def test_an_older_build_is_replaced(own_url: str, connect: Connect) -> None:
    load(own_url, library(scripts.BUILD - 1))

    connect(own_url).enqueue("t")

    assert loaded(own_url) == MINE


def test_another_text_of_the_same_build_is_replaced_only_by_who_installs_it(
    own_url: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "is_released", lambda: True)
    load(own_url, library(scripts.BUILD))
    client = connect(own_url)

    assert client.enqueue("t").status == "created"
    assert loaded(own_url) == [scripts.BUILD, "other"]

    assert client.install().build == scripts.BUILD
    assert loaded(own_url) == MINE


def test_a_tree_that_somebody_works_on_replaces_its_earlier_text(
    own_url: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "is_released", lambda: False)
    load(own_url, library(scripts.BUILD))

    connect(own_url).enqueue("t")

    assert loaded(own_url) == MINE


def test_a_client_puts_its_library_back_where_an_older_one_refuses_a_task(own_url: str, connect: Connect) -> None:
    client = connect(own_url)
    client.enqueue("t")
    known = " unless = schema.is_test,"
    assert known in scripts.library()
    load(own_url, library(scripts.BUILD - 1).replace(known, ""))

    assert client.enqueue("t", conditions={"unless": "paid:o"}).status == "created"
    assert loaded(own_url) == MINE
    with pytest.raises(InvalidTask, match="not there"):
        client.enqueue("t", conditions={"after": ["nobody"]})


def test_a_library_of_the_name_that_tells_no_version_is_replaced(own_url: str, connect: Connect) -> None:
    load(own_url, f"#!lua name={scripts.LIBRARY}\nredis.register_function('something', function() return 1 end)")

    assert connect(own_url).enqueue("t").status == "created"

    assert loaded(own_url) == MINE


def test_other_libraries_are_left_alone(own_url: str, connect: Connect) -> None:
    load(own_url, "#!lua name=redsched2\nredis.register_function('rs2_version', function() return 1 end)")

    connect(own_url).install()

    with servers.connect(own_url) as connection:
        assert connection.fcall("rs2_version", 0) == 1


def test_a_newer_build_that_comes_while_a_client_works_is_used(own_url: str, connect: Connect) -> None:
    client = connect(own_url)
    client.enqueue("t")
    load(own_url, library(scripts.BUILD + 1))

    assert client.enqueue("t").status == "created"

    assert loaded(own_url)[0] == scripts.BUILD + 1


def test_functions_that_were_flushed_in_mid_use_come_back(own_url: str, connect: Connect) -> None:
    client = connect(own_url)
    client.enqueue("t", id="a")
    for verb in (lambda: client.enqueue("t"), lambda: client.cancel("a"), lambda: client.show("a"), client.start):
        with servers.connect(own_url) as connection:
            connection.function_flush()

        verb()

        assert loaded(own_url) == MINE


def test_a_library_that_was_deleted_comes_back(own_url: str, connect: Connect) -> None:
    client = connect(own_url)
    client.enqueue("t")
    with servers.connect(own_url) as connection:
        connection.function_delete(scripts.LIBRARY)

    assert client.enqueue("t").status == "created"


def test_a_server_without_functions_gets_scripts(scripts_server: Any, connect: Connect) -> None:
    store = Store("valkey-scripts", servers.connect(scripts_server.url), url=scripts_server.url)
    client = connect(store)

    assert client.install().mode == "scripts"
    assert client.enqueue("t").status == "created"

    assert all(store.redis.script_exists(*(scripts.sha1(verb) for verb in scripts.verbs())))
    store.clear()


def test_scripts_that_were_flushed_in_mid_use_come_back(scripts_server: Any, connect: Connect) -> None:
    store = Store("valkey-scripts", servers.connect(scripts_server.url), url=scripts_server.url)
    client = connect(store)
    client.enqueue("t", id="a")
    for verb in (lambda: client.enqueue("t"), lambda: client.cancel("a"), lambda: client.show("a"), client.start):
        store.redis.script_flush()

        verb()
    store.clear()


def test_many_clients_may_start_at_once_on_an_empty_server(own_url: str) -> None:
    begin, told = threading.Barrier(8), []

    def work() -> None:
        with Client(own_url) as client:
            begin.wait()
            told.append(client.enqueue("t").status)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert told == ["created"] * 8
    assert loaded(own_url) == MINE


def user(url: str, *rules: str) -> str:
    """The address for a new user with these rights."""
    with servers.connect(url) as connection:
        connection.execute_command("ACL", "SETUSER", "u", "reset", "on", ">secret", "~*", *rules)
    return url.replace("redis://", "redis://u:secret@")


def test_a_user_who_may_only_call_functions_needs_them_to_be_installed(own_url: str, connect: Connect) -> None:
    url = user(own_url, "+@all", "-function")
    with pytest.raises(StoreDenied, match="nothing was written"):
        connect(url).enqueue("t")

    connect(own_url).install()

    assert connect(url).enqueue("t").status == "created"


def test_a_user_who_may_only_call_functions_works_with_an_older_library(own_url: str, connect: Connect) -> None:
    known = " unless = schema.is_test,"
    older = library(scripts.BUILD - 1)
    assert known in older
    load(own_url, older.replace(known, ""))
    client = connect(user(own_url, "+@all", "-function"))

    assert client.enqueue("t").status == "created"
    with pytest.raises(InvalidTask, match="nothing was written"):
        client.enqueue("t", conditions={"unless": "paid:o"})
    with pytest.raises(StoreDenied):
        client.install()

    assert loaded(own_url) == [scripts.BUILD - 1, "other"]


def test_a_user_who_may_call_neither_is_denied(own_url: str, connect: Connect) -> None:
    with pytest.raises(StoreDenied, match="nothing was written"):
        connect(user(own_url, "+@all", "-fcall", "-function", "-evalsha", "-script")).enqueue("t")


def test_the_least_rights_of_a_producer_suffice(own_url: str, connect: Connect) -> None:
    connect(own_url).install()
    url = user(
        own_url,
        "+fcall|rs1_enqueue",
        "+fcall|rs1_version",
        "+hget",
        "+hmget",
        "+hset",
        "+hincrby",
        "+zadd",
        "+zscore",
        "+xadd",
        "+xgroup|create",
        "+exists",
        "+sadd",
        "+pexpire",
        "+time",
        "+client|setname",
    )
    client = connect(url)

    assert client.enqueue("t").status == "created"
    assert client.enqueue("t", delay="1h").status == "created"
    with pytest.raises(StoreDenied):
        client.cancel("a")
