"""The doctor on real servers: what it says, what it leaves alone, and that load does not alarm it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from redsched import Client
from redsched.cli.main import main
from redsched.observe.doctor import Report, environment, examine, invariants, kept
from redsched.observe.doctor.rules import RULES
from redsched.wire import acl, protocol
from tests.stress import doctor_under_load
from tests.support import servers
from tests.support.processes import ROOT
from tests.support.servers import RedisServer, Store
from tests.support.workers import Site

HOUR = 3_600_000


def doctor(store: Store, *arguments: str) -> tuple[int, str]:
    """``redsched doctor`` with a short pause: its exit code and what it printed."""
    given = ["-r", store.url or "", "--namespace", store.namespace, "doctor", "--pause", "0.05s", *arguments]
    ended = CliRunner().invoke(main, given)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended.exit_code, ended.stdout


def lines(report: Report) -> dict[str, str]:
    """``check`` -> ``LEVEL what``."""
    return {line.check: f"{line.level} {line.what}" for line in report.lines}


def rules(report: Report) -> set[tuple[str, str]]:
    """What is broken."""
    return {(found.name, found.rule) for found in report.findings}


def writes(store: Store) -> int:
    """How much has been written to the server, loaded functions included."""
    return int(store.redis.info("persistence")["rdb_changes_since_last_save"])


def test_a_sound_namespace_is_ok_and_nothing_is_written(real_store: Store) -> None:
    with real_store.client() as client:
        before = writes(real_store)
        assert examine(client, pause=0).level != "FAIL"  # an empty one
        assert writes(real_store) == before

        client.install()
        client.enqueue("log", id="a", delay="1h")
        client.enqueue("log", id="b", priority="high")
        before, keys = writes(real_store), real_store.keys()
        report = examine(client, pause=0)

    assert (writes(real_store), real_store.keys()) == (before, keys)
    assert report.findings == [] and report.level != "FAIL"
    assert (report.tasks, report.entries) == (2, 1)
    told = lines(report)
    assert told["rules"].startswith("OK 2 tasks, 1 ready entries")
    assert told["queue default"].startswith("OK 1 scheduled, 1 ready, 0 running")
    assert told["mover"] == "WARN none is acting"
    assert told["memory"].startswith("OK noeviction")
    assert told["library"].startswith("OK" if real_store.kind != "valkey-scripts" else "WARN our functions")


def test_the_command_exits_with_6_until_it_has_repaired(valkey_store: Store) -> None:
    store = valkey_store
    with store.client() as client:
        client.install()
        client.enqueue("log", id="a", delay="1h")
    store.redis.delete(store.key("due:default"))

    code, text = doctor(store)
    assert code == 6
    assert "FAIL queue default: unindexed: the task is not in the place that its state names: 'a'" in text
    assert f"redsched --namespace {store.namespace} doctor --repair" in text

    before = writes(store)
    code, text = doctor(store, "--repair", "--dry-run")
    assert code == 6 and "would mend task 'a' of queue default (unindexed): puts it there" in text
    assert writes(store) == before

    code, text = doctor(store, "--repair", "-o", "json")
    report = json.loads(text)
    assert code == 0
    assert report["findings"] == [] and report["level"] == "WARN"
    assert report["mended"] == [
        {"queue": "default", "kind": "task", "name": "a", "rule": "unindexed", "task": "a", "mended": "scheduled"}
    ]
    assert store.redis.zcard(store.key("due:default")) == 1
    assert doctor(store)[0] == 0
    assert doctor(store, "--dry-run")[0] == 2


def test_a_producer_between_its_two_commands_is_no_fault(valkey_store: Store) -> None:
    store = valkey_store
    store.redis.hset(store.key("task:default:slow"), mapping={"type": "log", "payload": "{}"})
    store.redis.hset(store.key("task:default:never"), mapping={"type": "log", "payload": "{}"})
    with store.client() as client:
        client.install()
        report = examine(
            client, pause=0.1, sleep=lambda _: store.redis.zadd(store.key("due:default"), {"slow": 0, "late": 0})
        )

    assert rules(report) == {("never", "unindexed")}


def test_what_changed_between_the_looks_is_no_fault(valkey_store: Store) -> None:
    store = valkey_store
    store.redis.zadd(store.key("due:default"), {"a": 1, "b": 1})
    with store.client() as client:
        client.install()
        report = examine(client, pause=0.1, sleep=lambda _: store.redis.zadd(store.key("due:default"), {"a": 2}))

    assert rules(report) == {("b", "missing"), ("", "unlisted")}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda store: store.redis.zadd(store.key("due:default"), {"a": store.now_ms() - 5_000}),
        lambda store: store.redis.zadd(store.key("running:default"), {"r": store.now_ms() - 5_000}),
    ],
    ids=["due", "lease"],
)
def test_what_nobody_moves_is_told(valkey_store: Store, spoil: Callable[[Store], None]) -> None:
    store = valkey_store
    with store.client() as client:
        client.install()
        client.enqueue("log", id="a", delay="1h")
        client.enqueue("log", id="r")
        store.redis.hset(store.key("task:default:r"), mapping={"state": "running", "attempt": 1, "token": "1.ab"})
        store.redis.delete(store.key("ready:default"))
        store.redis.zadd(store.key("running:default"), {"r": store.now_ms() + 5_000})
        assert examine(client, pause=0).level == "WARN"
        spoil(store)
        report = examine(client, pause=0)

    assert report.findings == []
    assert lines(report)["mover"] == "FAIL none is acting"
    assert lines(report)["queue default: late"].startswith("FAIL ")


def test_what_no_mover_carries_out_is_told(valkey_store: Store) -> None:
    store = valkey_store
    agenda, now = store.key("agenda"), store.now_ms()
    with store.client() as client:
        client.install()
        store.redis.zadd(agenda, {"resume/a/queue": now - 5_000, "hold/a": now + HOUR})
        assert "agenda" not in lines(examine(client, pause=0))
        store.redis.zadd(agenda, {"listeners/b/x": now - 300_000, "ended/gone/b/c": 0, "made/b/e/x": 0})
        report = examine(client, pause=0.1, sleep=lambda _: store.redis.zrem(agenda, "made/b/e/x"))

    told = lines(report)["agenda"]
    assert told.startswith("WARN 2 items wait to be carried out, the oldest for 5m")
    assert told.endswith(": 'ended/gone/b/c', 'listeners/b/x'")


def test_types_without_a_worker_are_told(valkey_store: Store, tmp_path: Path) -> None:
    with Site(valkey_store, tmp_path) as site:
        site.client.install()
        site.worker()
        site.client.enqueue("nobody.knows")
        events = valkey_store.key("events")
        site.until(lambda: [1 for _, told in valkey_store.redis.xrange(events) if told["event"] == "unhandled"])
        report = examine(site.client, pause=0)
        if "queue default: unhandled" not in lines(report):  # a worker held it at that moment; it has it again in 5 s
            report = examine(site.client, pause=0)

    told = lines(report)
    assert told["queue default: unhandled"] == "WARN no worker has a handler for type 'nobody.knows': at least 1 wait"
    assert told["mover"] == "OK one is acting"
    assert report.level == "WARN"


@pytest.mark.parametrize("user", ["observer", "reader"])
def test_credentials_that_may_only_read_still_find_what_an_index_names(real_store: Store, user: str) -> None:
    store = real_store
    with store.client() as client:
        client.install()
        client.enqueue("log", id="a", delay="1h")
    store.redis.delete(store.key("task:default:a"))
    store.redis.hset(store.key("task:default:orphan"), mapping={"type": "log", "payload": "{}"})
    reader = f"reader-{store.namespace}"
    if user == "observer":
        line = acl.role("observer", store.namespace, ["default"]).line(reader).replace(acl.SECRET, "secret")
    else:
        rights = f"~{{{store.namespace}}}:* +@read +fcall +eval_ro -scan +time +ping +hello +client"
        line = f"ACL SETUSER {reader} on >secret {rights}"
    if store.kind == "valkey-scripts" and user == "observer":
        pytest.skip("the role needs functions")
    store.redis.execute_command(*line.split())
    try:
        url = (store.url or "").replace("redis://", f"redis://{reader}:secret@")
        with Client(url, namespace=store.namespace) as client:
            report = examine(client, pause=0)
    finally:
        store.redis.execute_command("ACL", "DELUSER", reader)

    assert rules(report) == {("a", "missing")}
    told = lines(report)
    assert told["scan"].startswith("WARN SCAN is refused")
    assert told["rights"].startswith("OK not known")
    assert told["server"] == "WARN INFO is refused" or user == "observer"


def test_queues_that_these_credentials_may_not_read_are_told(valkey_store: Store) -> None:
    store = valkey_store
    with store.client() as client:
        client.install()
        client.enqueue("log", id="a", delay="1h", queue="mine")
        client.enqueue("log", id="b", delay="1h", queue="theirs")
    store.redis.delete(store.key("task:mine:a"), store.key("task:theirs:b"))
    user = f"observer-{store.namespace}"
    line = acl.role("observer", store.namespace, ["mine"]).line(user).replace(acl.SECRET, "secret")
    store.redis.execute_command(*line.split())
    try:
        url = (store.url or "").replace("redis://", f"redis://{user}:secret@")
        with Client(url, namespace=store.namespace) as client:
            report = examine(client, pause=0)
    finally:
        store.redis.execute_command("ACL", "DELUSER", user)

    assert rules(report) == {("a", "missing")}
    assert lines(report)["queue theirs"].startswith("WARN not looked at")


def test_a_server_that_does_not_suit_is_told(tmp_path: Path) -> None:
    server: RedisServer = servers.start_redis7(tmp_path)
    try:
        with servers.connect(server.url) as connection, Client(server.url) as client:
            client.install()
            connection.config_set("maxmemory-policy", "allkeys-lru")
            connection.config_set("appendonly", "no")
            connection.config_set("hash-max-listpack-value", 64)
            told = lines(examine(client, pause=0))
            connection.config_set("maxmemory-policy", "noeviction")
            connection.config_set("appendonly", "yes")
            connection.config_set("appendfsync", "no")
            connection.config_set("maxmemory", 1_000_000)
            again = lines(examine(client, pause=0))
    finally:
        server.stop()

    assert told["memory"] == "FAIL maxmemory-policy allkeys-lru"
    assert told["persistence"] == "WARN no append-only file"
    assert told["listpack"] == "WARN hash-max-listpack-value is 64"
    assert told["role"] == "OK master, 0 replicas"
    assert "CVE-2025-49844" in told["server"]
    assert again["persistence"] == "WARN append-only file, appendfsync no"
    assert again["memory"].startswith("WARN") and again["memory"].endswith("MiB used of 1.0")


def test_known_bad_builds_are_told() -> None:
    def bad(name: str, *version: int) -> list[str]:
        return [why.partition(":")[0] for why in environment.known_bad(name, version)]  # type: ignore[arg-type]

    lua, blocked, tls, valkey_tls = "CVE-2025-49844", "CVE-2026-23479", "CVE-2026-81934", "CVE-2026-56684"
    assert bad("redis", 7, 4, 2) == [lua, blocked, tls, "redis#13793"]
    assert bad("redis", 8, 0, 6) == bad("redis", 8, 2, 3) == [blocked, tls]
    assert bad("redis", 8, 2, 1) == [lua, blocked, tls, "CVE-2025-62507"]
    assert bad("redis", 8, 2, 6) == bad("redis", 8, 6, 5) == bad("redis", 8, 8, 1) == bad("redis", 8, 10, 0) == [tls]
    assert bad("valkey", 8, 1, 3) == [lua, blocked, valkey_tls]
    mended = ((7, 2, 16), (7, 4, 11), (8, 2, 9), (8, 4, 6), (8, 6, 6), (8, 8, 2), (8, 10, 1))
    assert [bad("redis", *version) for version in mended] == [[]] * len(mended)
    assert bad("valkey", 9, 1, 2) == bad("valkey", 9, 0, 5) == []


def test_a_clock_that_is_off_is_told() -> None:
    assert environment.clock_line(2, 200).level == environment.clock_line(400, -430).level == "OK"
    assert environment.clock_line(2, 260).what == "the server is 260 ms ahead of this machine"
    assert environment.clock_line(2, -3_000).level == "WARN"


def test_more_faults_than_one_look_collects_are_all_mended(
    valkey_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = valkey_store
    monkeypatch.setattr(invariants, "MOST_FAULTS", 40)
    with store.client() as client:
        client.install()
        for number in range(150):
            client.enqueue("log", id=f"a{number}", delay="1h")
        store.redis.delete(store.key("due:default"))
        report = examine(client, pause=0)
        assert (report.cut, len(report.findings), report.level) == (True, 40, "FAIL")

        report = examine(client, pause=0, repair=True)

    assert (report.cut, report.findings, len(report.mended)) == (False, [], 150)
    assert store.redis.zcard(store.key("due:default")) == 150


def test_only_the_queues_that_were_named_are_looked_at(valkey_store: Store) -> None:
    store = valkey_store
    store.redis.zadd(store.key("due:one"), {"a": 1})
    store.redis.zadd(store.key("due:two"), {"b": 1})
    with store.client() as client:
        client.install()
        assert {found.queue for found in examine(client, queues=["two"], pause=0).findings} == {"two"}


def test_every_rule_that_the_lua_names_has_words_for_people() -> None:
    rules = ("task_rules", "parent_rules", "link_rules", "key_rules", "inspect")
    text = "".join((ROOT / "lua" / "lib" / "repair" / f"{name}.lua").read_text() for name in rules)
    named = set(re.findall(r"(?:broken\[[^\]]+\] = |return \{|and \{)'([a-z_]+)'", text))
    assert len(named) >= 20
    assert named <= RULES.keys()
    assert {rule for rule in RULES if f"'{rule}'" not in text} == {"unlisted"}  # which Python finds


def test_load_does_not_alarm_the_doctor(valkey_store: Store, tmp_path: Path) -> None:
    assert valkey_store.url is not None
    tally = doctor_under_load.Tally()

    doctor_under_load.run(
        valkey_store.url, tmp_path, 6, rate=200, pause=0.3, tally=tally, namespace=valkey_store.namespace
    )

    assert tally.alarms == []
    assert tally.looks >= 2 and tally.enqueued >= 100 and tally.tasks_looked_at > 100


def test_it_says_for_how_long_ids_live_where_a_cap_takes_them(real_store: Store) -> None:
    with real_store.client() as client:
        keys, now = client._keys("q"), real_store.now_ms()
        for number, age in enumerate((50 * 60_000, 40 * 60_000, 30 * 60_000)):
            ended = {"type": "t", "state": "completed", "created_at": now - age, "finished_at": now - age}
            real_store.redis.hset(keys.task(f"f{number}"), mapping=ended)
            real_store.redis.zadd(keys.index("finished"), {f"f{number}": now - age + HOUR})
            dead = {"type": "t", "payload": "1", "state": "dead", "finished_at": now - age, "reason": "x"}
            real_store.redis.hset(keys.task(f"d{number}"), mapping={"created_at": now - age, **dead})
            real_store.redis.zadd(keys.index("dead"), {f"d{number}": now - age + 30 * 24 * HOUR})
        client.limit("q", most_finished=1, most_dead=2)
        assert not [check for check in lines(examine(client, pause=0)) if "evicted" in check]

        assert client.transport.send(protocol.sweep([keys])).removed == 3

        found = lines(examine(client, pause=0))
        told = found["queue q: finished ids evicted"]
        assert re.fullmatch(r"WARN 2 went in the last hour by the cap of 1; finished ids live for 30m\d\ds now", told)
        told = found["queue q: dead letters evicted"]
        assert re.fullmatch(r"WARN 1 went in the last hour by the cap of 2; dead letters live for 40m\d\ds now", told)


@pytest.mark.parametrize(("dead", "warned"), [(99_999, False), (100_000, True)])
def test_it_warns_of_a_hundred_thousand_dead_letters(valkey_store: Store, dead: int, warned: bool) -> None:
    with valkey_store.client() as client:
        depths = msgspec.structs.replace(client.stats(["q"])[0], dead=dead)

        found = kept.lines(client, [depths], valkey_store.now_ms())

    assert [(line.check, line.what) for line in found] == (
        [("queue q: many dead letters", "100,000 are kept for 30 days each")] if warned else []
    )
