"""The alert rules that ship: every name, label and value in them is one that a scrape really shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import redsched
from redsched import Client
from redsched.embedded import EmbeddedServer
from redsched.observe.metrics import PrometheusObserver, ServerState
from redsched.wire import protocol
from redsched.wire.claims import Settlement
from tests.support.servers import Store, connect

FILE = Path(redsched.__file__).parents[1] / "ops" / "prometheus-rules.yml"
RULES: list[dict[str, Any]] = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]
SELECTOR = re.compile(r"(redsched_[a-z_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|=|!=)"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|on) \(([^)]*)\)")
FROM_THE_SCRAPE = {"instance", "job"}
FUNCTIONS = {
    "max", "sum", "by", "on", "unless", "rate", "increase", "histogram_quantile", "time", "abs", "and", "or", "min",
}  # fmt: skip

Samples = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def samples(valkey_server: EmbeddedServer) -> Iterator[Samples]:
    """What a scrape shows after each thing that an alert tells of has happened: by name, the labels."""
    valkey_store = Store("valkey", connect(valkey_server.url), url=valkey_server.url)
    with valkey_store.client() as client:
        keys = client._keys("q")
        for number in range(2):
            client.enqueue("t", queue="q", id=f"t{number}")
        claim = protocol.claim([keys], consumer="w", count=2, lease_ms=30_000)
        one, two = client.transport.send(claim).tasks
        ends = [
            Settlement("q", one.id, one.token, "return", "unhandled"),
            Settlement("q", two.id, two.token, "dead", "rejected"),
        ]
        client.transport.send(protocol.settle(client.cell, ends))
        valkey_store.redis.zadd(keys.due, {"a b": 0})
        client.transport.send(protocol.promote([keys], mover="m"))
        _evict(valkey_store, client)
        stats, info = client.stats(["q"]), client.ping()
    observer = PrometheusObserver()
    for loop in ("promote", "renew", "lease", "claim", "sweep", "scan", "ingest", "fire", "attend", "types"):
        observer.progressed(loop)
    observer.redis_error("store")
    observer.fired("s", 1, 1)
    server = ServerState(up=True, used_memory=info.used_memory, maxmemory=info.maxmemory, clock_skew_s=0.01)
    found: Samples = {}
    for family in text_string_to_metric_families(observer.render(stats, server).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    yield found
    valkey_store.clear()
    valkey_store.redis.close()


def _evict(store: Store, client: Client) -> None:
    """A finished id, a dead letter and a member of the quarantine go by their caps."""
    keys = client._keys("q")
    store.redis.hset(keys.task("old"), mapping={"type": "t", "state": "completed", "finished_at": 100_000_000_000})
    store.redis.zadd(keys.index("finished"), {"old": 3_900_000_000_000})
    store.redis.zadd(keys.index("quarantine"), {f"missing:x{number}": number for number in range(10_000)})
    store.redis.zadd(keys.due, {"c d": 0})
    client.limit("q", most_finished=0, most_dead=0)
    client.transport.send(protocol.promote([keys], mover="m"))
    assert client.transport.send(protocol.sweep([keys])).removed == 2


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_expression_names_what_a_scrape_shows(rule: dict[str, Any], samples: Samples) -> None:
    expression = rule["expr"]
    selectors = SELECTOR.findall(expression)
    assert selectors
    for name, matchers in selectors:
        assert name in samples, f"{name} is not exposed"
        assert not name.endswith("_total") or re.search(rf"(?:rate|increase)\({name}", expression), name
        for label, operator, value in MATCHER.findall(matchers):
            values = {labels.get(label) for labels in samples[name]}
            wanted = value.split("|") if operator == "=~" else [value]
            assert set(wanted) <= values, f"{name} never has {label} {wanted}, only {values}"
    known = {label for name, _ in selectors for labels in samples[name] for label in labels} | FROM_THE_SCRAPE
    for labels in GROUPED.findall(expression):
        assert {label.strip() for label in labels.split(",")} <= known
    words = set(re.findall(r"\b([a-z_]+)\s*\(", SELECTOR.sub("", expression)))
    assert words <= FUNCTIONS, f"no functions of PromQL: {words - FUNCTIONS}"
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_what_to_do_with_labels_that_its_expression_keeps(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert re.fullmatch(r"\d+[sm]", rule["for"])
    kept = {label.strip() for labels in GROUPED.findall(rule["expr"]) for label in labels.split(",")}
    for text in rule["annotations"].values():
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= kept
        for command in re.findall(r"redsched ((?:dead|quarantine|queue) \w+|doctor)", text):
            assert command.split()[0] in _commands()
    assert rule["annotations"]["do"]


def test_every_failure_that_was_asked_for_has_a_rule() -> None:
    alerts = {rule["alert"] for rule in RULES}

    assert {
        "RedschedLate",
        "RedschedOldestDue",
        "RedschedLoopStalled",
        "RedschedDeadLettersGrow",
        "RedschedMemory",
        "RedschedNoWorkerForType",
        "RedschedQuarantineGrows",
        "RedschedClockSkew",
        "RedschedRedisAway",
    } <= alerts
    assert len(alerts) == len(RULES)


def test_the_loops_that_the_rules_watch_are_those_of_worker_and_mover() -> None:
    watched = {
        name for rule in RULES for names in re.findall(r'loop=~"([^"]*)"', rule["expr"]) for name in names.split("|")
    }
    engine = Path(redsched.__file__).parent / "engine"
    named = {name for file in engine.rglob("*.py") for name in re.findall(r'Loop\("(\w+)"', file.read_text())}

    assert named - watched == {"join", "late"}, "a loop that ends by itself has no alert; every other has"
    assert watched <= named


def _commands() -> set[str]:
    from redsched.cli.main import main

    return set(main.commands) | {"doctor"}
