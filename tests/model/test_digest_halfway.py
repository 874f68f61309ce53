"""Each verb that changes a digest, stopped before each of its writes in turn: no item is lost, none is in two runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from redsched.embedded import EmbeddedServer
from redsched.testing.clock import at_time
from redsched.wire import events, protocol
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.claims import Settlement
from redsched.wire.keys import CellKeys, queue_keys
from tests.support.consistency import assert_consistent
from tests.support.lua_builds import Build, Line, Refused, clear

NOW = 1_800_000_000_000
DB = 9
MOST_WRITES = 120
FINAL = ("completed", "skipped", "expired", "cancelled", "dead")


class Scene:
    """A digest of three, each with an end of its own, and the calls that bring it to where a case begins."""

    def __init__(self, line: Line, text: redis.Redis, build: Build) -> None:
        self.line, self.text, self.build, self.now = line, text, build, NOW
        self.cell = Cell("digesthalf")
        self.keys = queue_keys(self.cell, "q")
        clear(line, self.cell.tag)
        line("HSET", CellKeys(self.cell).meta, "virtual_clock", 1)
        self.runs: dict[str, list[str]] = {}  # task -> its items
        self.again: Call[Any] = protocol.attend(CellKeys(self.cell), 100)

    def send(self, call: Call[Any]) -> Any:
        """Make the call."""
        words = at_time(call, self.now).args
        return call.read(self.line("FCALL", f"{self.build.name}_{call.verb}", len(call.keys), *call.keys, *words))

    def submit(self, *names: str, size: int = 9, **conditions: Any) -> Call[Any]:
        """An enqueue of these."""
        plan = json.dumps({"digest": {"key": "k", "grace": 1000, "size": size}} | conditions)
        words: list[Any] = [0]
        for name in names:
            fields = {"type": "t", "payload": json.dumps(name), "conditions": plan, "request": "r"}
            words += (1, name, 0, len(fields), *(word for pair in fields.items() for word in pair))
        return Call("enqueue", [self.keys.due], words, lambda reply: reply)

    def three(self) -> None:
        """The first and the second have a test that may come to hold."""
        self.send(self.submit("a", "b", unless={"fact": "x"}))
        self.send(self.submit("c"))

    def called_off(self) -> Call[Any]:
        """The event that cancels the first two."""
        self.send(self.submit("a", "b", cancel_on=["y"]))
        self.send(self.submit("c"))
        return events.emit(CellKeys(self.cell), "y", "", data=None, ttl=None, event_id="e1")

    def close(self) -> Call[Any]:
        """The promote that closes it."""
        self.three()
        self.now += 1000
        return protocol.promote([self.keys], mover="m")

    def closed(self, fact: str = "") -> Call[Any]:
        """The claim that starts it; with a fact by which the first does not start."""
        self.send(self.close())
        if fact:
            self.line("SET", CellKeys(self.cell).fact(fact), "1", "PX", 5_000)
        return protocol.claim([self.keys], consumer="w", count=5, lease_ms=1_000)

    def started(self) -> Call[Any]:
        """The attend that ends the others."""
        self.work(self.send(self.closed()).tasks)
        return self.again

    def work(self, tasks: Any) -> None:
        """Complete what was claimed."""
        for task in tasks:
            found = json.loads(task.payload)["items"]
            assert self.runs.setdefault(task.id, found) == found, f"{task.id} ran with {self.runs[task.id]} and {found}"
            self.send(protocol.settle(self.cell, [Settlement("q", task.id, task.token, "complete", "")]))

    def drain(self) -> None:
        """All end; each item is in the run of one task, or its own task has an end of its own."""
        for _ in range(12):
            self.send(self.again)
            self.send(protocol.promote([self.keys], mover="m"))
            self.send(protocol.reap([self.keys]))
            self.work(self.send(protocol.claim([self.keys], consumer="w", count=5, lease_ms=1_000)).tasks)
            self.now += 15_000
        ran = Counter(name for items in self.runs.values() for name in items)
        for name in "abc":
            task = self.text.hgetall(self.keys.task(name))
            if not task:
                continue  # it never came to be
            state, reason = task.get("state"), task.get("reason", "")
            assert state in FINAL, f"{name} is {state}"
            merged = state == "completed" or reason.startswith("merged into")
            assert ran[name] == (1 if merged else 0), f"{name} is {state} {reason} and in {ran[name]} runs: {self.runs}"
        self.now += 30 * 86_400_000  # a stop may leave an index that only the sweep clears
        self.send(protocol.sweep([self.keys]))
        assert_consistent(self.text, self.cell.tag)
        left = [key for key in self.text.scan_iter(f"{{{self.cell.tag}}}:*") if ":items:" in key or ":members:" in key]
        assert not left


def after(scene: Scene, call: Call[Any]) -> Call[Any]:
    """The call, once there are three."""
    scene.three()
    return call


def when_ready(scene: Scene, call: Call[Any]) -> Call[Any]:
    """The call, once the digest is ready."""
    scene.closed()
    return call


def with_fact(scene: Scene, fact: str, call: Call[Any]) -> Call[Any]:
    """The call, once a fact is there."""
    scene.line("SET", CellKeys(scene.cell).fact(fact), "1")
    return call


def others(scene: Scene, name: str) -> Call[Any]:
    """Other conditions for one of them."""
    return protocol.update(scene.keys, [name], {"conditions": {"digest": {"key": "j"}}}, max_payload=99)


CASES: dict[str, Callable[[Scene], Call[Any]]] = {
    "a submit that opens": lambda s: s.submit("a", "b", "c"),
    "a submit that fills": lambda s: s.submit("a", "b", "c", size=2),
    "the promote that closes": Scene.close,
    "the promote whose first does not run": lambda s: with_fact(s, "x", s.close()),
    "the claim that starts": Scene.closed,
    "the claim whose first does not start": lambda s: s.closed("x"),
    "the attend that ends the others": Scene.started,
    "cancel of the first": lambda s: after(s, protocol.cancel(s.keys, ["a"])),
    "cancel of another": lambda s: after(s, protocol.cancel(s.keys, ["b"])),
    "cancel of all": lambda s: after(s, protocol.cancel(s.keys, ["a", "b", "c"])),
    "cancel of a ready one": lambda s: when_ready(s, protocol.cancel(s.keys, ["a"])),
    "an event": Scene.called_off,
    "update of the first": lambda s: after(s, others(s, "a")),
    "update of another": lambda s: after(s, others(s, "b")),
    "update of a ready one": lambda s: when_ready(s, others(s, "a")),
}
# only the same call again ends a hold
ENDS_A_HOLD = ("cancel of another", "cancel of all", "an event")


@pytest.fixture(scope="module")
def stage(valkey_server: EmbeddedServer) -> Iterator[tuple[Line, redis.Redis, Build]]:
    """A database of this test's own, and a build that can be stopped."""
    line = Line(valkey_server.port, db=DB)
    with redis.Redis(port=valkey_server.port, db=DB, decode_responses=True, protocol=2) as text:
        yield line, text, Build.load(line, "digesthalf")
    line.close()


@pytest.mark.parametrize(
    ("case", "repeated"),
    [(case, True) for case in CASES] + [(case, False) for case in CASES if case not in ENDS_A_HOLD],
)
def test_no_stop_half_way_loses_an_item_or_has_it_run_twice(
    stage: tuple[Line, redis.Redis, Build], case: str, repeated: bool
) -> None:
    line, text, build = stage
    halt = ("FCALL", f"{build.name}_halt", 0)
    stopped = True
    for at in range(1, MOST_WRITES):
        scene = Scene(line, text, build)
        call = CASES[case](scene)
        line(*halt, at)
        try:
            reply = scene.send(call)
            stopped = False
        except Refused as refused:
            assert "RS_HALT" in str(refused)
        finally:
            line(*halt, 0)
        if stopped and repeated:
            reply = scene.send(call)
        if call.verb == "claim" and (repeated or not stopped):
            scene.work(reply.tasks)
        try:
            scene.drain()
        except AssertionError as broken:
            raise AssertionError(f"{case}, stopped before write {at}: {broken}") from broken
        if not stopped:
            break
    assert not stopped
    clear(line, "digesthalf")
