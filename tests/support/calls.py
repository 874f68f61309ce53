"""Calls of the protocol: one of every verb, with nothing wrong in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redsched.model.events import Rule
from redsched.model.schedule import Schedule
from redsched.model.search import Search
from redsched.model.task import Task
from redsched.model.template import TaskTemplate
from redsched.schedule.catch_up import Decision
from redsched.wire import protocol, runs
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.claims import Bell, Settlement, Started
from redsched.wire.keys import CellKeys, queue_keys
from redsched.wire.schedules import Firing
from redsched.wire.stored_schedule import Stored
from redsched.wire.task_types import TypePut
from redsched.wire.timeline import Window

CELL = Cell("rs")
Q, R = queue_keys(CELL, "q"), queue_keys(CELL, "r")
STARTED = Started("q", "a", 1, 0, "t", b"{}", None, None, None, None, 5, None, "1.ab")
END = Settlement("q", "a", "1.ab", "complete")
RULE = Rule(id="a", on="paid", task=TaskTemplate(type="t", queue="q"))
FIRING = Firing(Stored("s", {"queue": b"q"}), Decision(following="none"))


def schedule(n: int) -> Schedule:
    """One with so many fields of its task."""
    return Schedule(id="a", cron="0 9 * * *", task=TaskTemplate(type="t", queue="q", key="k" if n > 1 else None))


# verb -> calls that repeat each of its repeating arguments n times
CALLS: dict[str, Callable[[int], Call[Any]]] = {
    "enqueue_run": lambda n: runs.part(
        "x", 0, n, 0, protocol.enqueue(CELL, [Task(type="t", queue="q")] * n, max_payload=99)
    ),
    "enqueue": lambda n: protocol.enqueue(CELL, [Task(type="t", queue="q")] * n, max_payload=99),
    "promote": lambda n: protocol.promote([Q, R][:n], mover="m"),
    "claim": lambda n: protocol.claim([Q], consumer="w", count=1, lease_ms=1, bells=[Bell("q", "normal/1-1", "a")] * n),
    "settle": lambda n: protocol.settle(CELL, [END] * n),
    "settle_and_claim": lambda n: protocol.settle_and_claim(
        CELL, [END] * n, protocol.claim([Q], consumer="w", count=1, lease_ms=1, bells=[Bell("q", "normal/1-1", "a")])
    ),
    "renew": lambda n: protocol.renew(CELL, [STARTED] * n, lease_ms=1_000),
    "reap": lambda n: protocol.reap([Q, R][:n]),
    "cancel": lambda n: protocol.cancel(Q, ["a"] * n),
    "reschedule": lambda n: protocol.reschedule(Q, ["a"] * n, due=0),
    "update": lambda n: protocol.update(Q, ["a"] * n, {"key": "k"}, max_payload=99),
    "progress": lambda n: protocol.progress(Q, "a", "1.ab", 1),
    "once": lambda n: protocol.once(Q, "a", "1.ab", "charge", b"1"),
    "revive": lambda n: protocol.revive(Q, ["a"] * n),
    "show": lambda n: protocol.show(Q, ["a"] * n),
    "list": lambda n: protocol.list_tasks(Q, state="scheduled"),
    "shift": lambda n: protocol.shift(Q, [("a", 5)] * n, by_ms=5),
    "retag": lambda n: protocol.retag(Q, ["a"] * n, add=["x"], remove=[]),
    "move": lambda n: protocol.move(Q, ["a"] * n, to="r"),
    "operate": lambda n: protocol.operate(CellKeys(CELL), "a", "write", "d", dict.fromkeys(("x", "y")[:n], 1)),
    "about": lambda n: protocol.about(CellKeys(CELL), "a", [("id", "a:1")] * n),
    "find": lambda n: protocol.find(CellKeys(CELL), Search(tags=("a",) * n)),
    "stats": lambda n: protocol.stats([Q, R][:n]),
    "timeline": lambda n: protocol.timeline([Q, R][:n], Window(3_600_000, 3_600_000, 300_000), 10),
    "sweep": lambda n: protocol.sweep([Q, R][:n]),
    "leave": lambda n: protocol.leave([Q, R][:n], "w"),
    "drop": lambda n: protocol.drop(Q, ["a"] * n),
    "requeue": lambda n: protocol.requeue(Q, ["a"] * n),
    "limit": lambda n: protocol.limit(Q, dict.fromkeys(("most_finished", "most_dead")[:n], 5)),
    "ingest": lambda n: protocol.ingest([Q, R][:n]),
    "inspect": lambda n: protocol.inspect(Q, "due", names=[b"a"] * n),
    "repair": lambda n: protocol.repair(Q, [("task", b"a")] * n),
    "reserve": lambda n: protocol.reserve(CellKeys(CELL), "key", "body"),
    "answer": lambda n: protocol.answer(CellKeys(CELL), "key", "body", status=200, ttl_ms=5),
    "put_schedule": lambda n: protocol.put_schedule(CELL, schedule(n), max_payload=99),
    "due_schedules": lambda n: protocol.due_schedules(CellKeys(CELL)),
    "fire": lambda n: protocol.fire(CELL, [FIRING] * n),
    "trigger": lambda n: protocol.trigger(CELL, "a", "q", slots=[1] * n),
    "pause_schedule": lambda n: protocol.pause_schedule(CellKeys(CELL), "a", reason="", until=5),
    "resume_schedule": lambda n: protocol.resume_schedule(CellKeys(CELL), "a"),
    "replan_schedules": lambda n: protocol.replan_schedules(CellKeys(CELL), changes=1, release="2026c"),
    "drop_schedule": lambda n: protocol.drop_schedule(CellKeys(CELL), ["a"] * n),
    "show_schedules": lambda n: protocol.show_schedules(CellKeys(CELL), ["a"] * n),
    "keep_schedules": lambda n: protocol.keep_schedules(CellKeys(CELL), "shop", "2.1", "pause", ["a"] * n),
    "put_types": lambda n: protocol.put_types(CellKeys(CELL), "shop", "2.1", "w", 5, [TypePut("t", "q")] * n),
    "types": lambda n: protocol.types(CellKeys(CELL), ["t"] * n),
    "defaults": lambda n: protocol.defaults(Q, dict.fromkeys(("key", "retry")[:n], None)),  # type: ignore[arg-type]
    "put_calendar": lambda n: protocol.put_calendar(CellKeys(CELL), "a", ["2027-12-25"]),
    "calendars": lambda n: protocol.calendars(CellKeys(CELL)),
    "emit": lambda n: protocol.emit(CellKeys(CELL), "paid", "order-1", data=None, ttl=None, event_id="a"),
    "attend": lambda n: protocol.attend(CellKeys(CELL)),
    "confirm": lambda n: protocol.confirm(Q, ["a"] * n, "1.ab", action="confirm"),
    "follow": lambda n: protocol.follow(Q, "a", ["b"] * n),
    "kin": lambda n: protocol.kin(Q, "a", "parents"),
    "pause": lambda n: protocol.pause(Q, "queue", reason="", until=None),
    "resume": lambda n: protocol.resume(Q, "queue"),
    "paused": lambda n: protocol.paused([Q, R][:n]),
    "put_rule": lambda n: protocol.put_rule(CellKeys(CELL), RULE, max_payload=99),
    "drop_rule": lambda n: protocol.drop_rule(CellKeys(CELL), "a"),
    "rules": lambda n: protocol.rules(CellKeys(CELL), ["a"] * n),
    "explain": lambda n: protocol.explain(Q, "a"),
}
