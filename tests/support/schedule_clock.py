"""Recurring schedules on a real server and a virtual clock: movers that decide as they do in life, runs that end when a
test says so. ``advance`` goes from look to look, as a mover does; ``jump`` is a time in which nobody looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from redsched import Client
from redsched.client.sync.schedules import Schedules
from redsched.engine.mover.firing import Schedules as Firing
from redsched.engine.mover.standing import Standing
from redsched.engine.observer import Silent
from redsched.model.schedule import Schedule
from redsched.model.schedule_views import ScheduleView
from redsched.model.template import TaskTemplate
from redsched.testing.clock import at_time
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.claims import Settlement, Started
from redsched.wire.keys import queue_keys
from tests.support.servers import FIXTURES, Store, connect

T = TypeVar("T")
NOW = 1_800_000_000_000  # Friday, 15 January 2027, 08:00 UTC
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
QUEUE = "default"


class Seen(Silent):
    """What a mover told its observer."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def fired(self, schedule: str, runs: int, missed: int) -> None:
        self.told.append((schedule, runs, missed))


class Clocked:
    """A transport that says what time it is, for a thread and, by ``Mover``, for an event loop."""

    def __init__(self, stage: Stage, client: Client) -> None:
        self._stage = stage
        self._transport = client.transport

    def send(self, call: Call[T]) -> T:
        """Send it at the stage's time."""
        return self._transport.send(at_time(call, self._stage.now))


class Mover:
    """The firing part of a mover, with plans of its own."""

    def __init__(self, stage: Stage, *, acting: bool = True) -> None:
        self.seen = Seen()
        self.cell, self.cell_keys = stage.client.cell, stage.client.cell_keys
        self.transport = self
        self._clocked = stage.clocked
        self._firing = Firing(self, Standing(acting=acting), self.seen)  # type: ignore[arg-type]

    async def send(self, call: Call[T]) -> T:
        """As an AsyncTransport does."""
        return self._clocked.send(call)

    def look(self) -> float:
        """One step; the seconds until the next."""
        return asyncio.run(self._firing.step())


class Stage:
    """A namespace with a virtual clock, one mover and one worker."""

    def __init__(self, store: Store, client: Client) -> None:
        self.store, self.client, self.now = store, client, NOW
        store.redis.hset(store.key("meta"), "virtual_clock", 1)
        self.clocked = Clocked(self, client)
        self.schedules = Schedules(client, self.clocked)  # type: ignore[arg-type]
        self.mover = Mover(self)
        self.started: dict[str, Started] = {}

    # schedules

    def put(self, every: str = "1m", *, id: str = "s", task: TaskTemplate | None = None, **more: Any) -> Schedule:
        """A schedule of a task without a payload, every minute unless said otherwise."""
        given = {"every": every} | more if not more.keys() & {"cron", "random", "after_completion", "at"} else more
        schedule = Schedule(id=id, task=task or TaskTemplate(type="t", payload={"n": 1}), **given)
        self.schedules.put(schedule)
        return schedule

    def view(self, id: str = "s") -> ScheduleView:
        """What is known of it."""
        return self.schedules.get(id)

    def counters(self, id: str = "s") -> dict[str, int]:
        """Those that are not 0."""
        return {name: n for name, n in self.view(id).counters.items() if n}

    def next_look(self) -> float | None:
        """When the earliest schedule is looked at."""
        found = self.store.redis.zrange(self.store.key("schedules"), 0, 0, withscores=True)
        return found[0][1] if found else None

    # time

    def advance(self, ms: int, mover: Mover | None = None) -> None:
        """So much later, with a mover that looks whenever it has to."""
        until, looks = self.now + ms, 0
        while (at := self.next_look()) is not None and at <= until:
            self.now = max(self.now, int(at))
            (mover or self.mover).look()
            looks += 1
            assert looks < 20_000, "it looks again and again"
        self.now = until

    def jump(self, ms: int) -> None:
        """So much later, and nobody looked."""
        self.now += ms

    # runs

    def start(self) -> list[str]:
        """A worker takes what is ready; the runs by their slots."""
        keys = queue_keys(self.client.cell, QUEUE)
        found = self.clocked.send(protocol.claim([keys], consumer="w", count=100, lease_ms=10 * DAY)).tasks
        self.started |= {task.id: task for task in found}
        return [named(task.id) for task in found]

    def end(self, run: int | str, outcome: str = "complete", id: str = "s") -> str:
        """A run ends; the state it has then."""
        task_id = f"{id}@{run if isinstance(run, str) else NOW + run}"
        started = self.started.pop(task_id)
        return self.clocked.send(
            protocol.settle(self.client.cell, [Settlement(QUEUE, task_id, started.token, outcome)])
        )[0]

    def runs(self, id: str = "s") -> dict[int | str, str]:
        """Every task of a schedule: its slot, in ms after the beginning, and its state."""
        prefix = self.store.key(f"task:{QUEUE}:{id}@")
        keys = sorted(self.store.redis.scan_iter(match=prefix + "*", count=1_000))
        states = {key[len(prefix) :]: self.store.redis.hget(key, "state") for key in keys}
        return {int(slot) - NOW if slot.isdecimal() else slot: state for slot, state in states.items()}

    def made(self, id: str = "s") -> list[int | str]:
        """The slots of its tasks."""
        return [*self.runs(id)]

    def field(self, run: int | str, name: str, id: str = "s") -> str | None:
        """A field of a task."""
        slot = run if isinstance(run, str) else NOW + run
        return self.store.redis.hget(self.store.key(f"task:{QUEUE}:{id}@{slot}"), name)

    def events(self, *names: str) -> list[str]:
        """What was told, oldest first: those of these names, as ``name id detail=value``."""
        found = []
        for _, fields in self.store.redis.xrange(self.store.key("events")):
            fields.pop("queue")
            name, told = fields.pop("event"), fields.pop("id")
            if name in names:
                found.append(" ".join([name, told, *(f"{field}={value}" for field, value in fields.items())]))
        return found


def named(task_id: str) -> str:
    """A run without the name of its schedule, its slot in ms after the beginning."""
    slot = task_id.rpartition("@")[2]
    return str(int(slot) - NOW) if slot.isdecimal() else slot


@contextmanager
def stage_on(request: pytest.FixtureRequest, kind: str) -> Iterator[Stage]:
    """A namespace of its own on a server of this pytest process: one of FIXTURES."""
    server = request.getfixturevalue(FIXTURES[kind])
    store = Store(kind, connect(server.url), url=server.url)
    with store.client() as client:
        client.install()
        yield Stage(store, client)
    store.clear()
    store.redis.close()
