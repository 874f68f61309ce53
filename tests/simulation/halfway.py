"""Each verb, stopped before each of its writes in turn: then the call is repeated, or is not, and all must still end.

Redis does not roll a script back; a stop half-way may make something happen twice, it never loses a task or leaves an
entry, a lease or an index that nothing clears.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redsched.model.task import Task
from redsched.wire import dead_letters, protocol
from redsched.wire.call import Call
from redsched.wire.claims import Bell, Settlement, Started
from redsched.wire.keys import queue_keys
from tests.simulation.calls_and_states import Violation
from tests.simulation.tasks import Run
from tests.support.lua_builds import Build, Line, Refused, clear, text

MOST_WRITES = 40


class Scene(Run):
    """A namespace with one queue, and the calls that bring it to where the scenario begins."""

    def __init__(self, line: Line, build: Build, number: int) -> None:
        super().__init__(line, build, number)
        self.q = queue_keys(self.cell, "a")
        clear(line, self.cell.tag)
        line("HSET", self.key("meta"), "virtual_clock", 1)
        self.state = self._look()

    def do(self, call: Call[Any]) -> Any:
        """Make the call."""
        return self._send("test", call)

    def tasks(self, count: int, **options: Any) -> Call[Any]:
        """An enqueue of tasks that are due in a moment."""
        fields: dict[str, Any] = {"delay": "10ms", "retry": ["700ms"]} | options
        made = [Task(type="t", id=f"t{number}", queue="a", request="r", **fields) for number in range(count)]
        return protocol.enqueue(self.cell, made, max_payload=100)

    def due(self, count: int = 2, **options: Any) -> None:
        """Tasks that are due."""
        self.do(self.tasks(count, **options))
        self.now += 10

    def ready(self, count: int = 2, **options: Any) -> None:
        """Tasks that are ready."""
        self.due(count, **options)
        self.do(protocol.promote([self.q], mover="m"))

    def claim(self, **options: Any) -> Call[Any]:
        """A claim of all that is ready."""
        return protocol.claim([self.q], consumer="w", count=5, lease_ms=1_000, **options)

    def running(self, count: int = 2, **options: Any) -> list[Started]:
        """Tasks that run."""
        self.ready(count, **options)
        return list(self.do(self.claim()).tasks)

    def settled(self, outcome: str, first: str = "", **options: Any) -> Call[Any]:
        """A settle of two tasks that run."""
        ends = [Settlement("a", run.id, run.token, outcome, first, "it broke") for run in self.running(2, **options)]
        return protocol.settle(self.cell, ends)

    def rung(self) -> Call[Any]:
        """A claim with the entry that a blocking read delivered."""
        self.ready(2)
        ((_, ((at, fields),)),) = self.line(
            "XREADGROUP", "GROUP", "workers", "w", "COUNT", 1, "STREAMS", self.q.ready, ">"
        )
        self.state = self._look()
        return self.claim(bells=[Bell("a", f"normal/{text(at)}", text(fields[1]))])

    def left_by_a_reader(self) -> Call[Any]:
        """A promote that finds entries which a dead reader holds."""
        self.ready(2)
        self.line("XREADGROUP", "GROUP", "workers", "w", "COUNT", 5, "STREAMS", self.q.ready, ">")
        self.state = self._look()
        self._age_pending()
        return protocol.promote([self.q], mover="m")

    def dead(self, verb: str) -> Call[Any]:
        """A verb on two dead tasks."""
        self.do(self.settled("dead", "x"))
        ids = ["t0", "t1"]
        return protocol.revive(self.q, ids, delay="0s") if verb == "revive" else dead_letters.drop(self.q, ids)

    def late(self, **options: Any) -> Call[Any]:
        """A reap of two tasks whose leases are over."""
        cancelled, begun = options.pop("cancelled", False), options.pop("begun", True)
        claims = self.running(2, **options)
        if begun:
            self.do(protocol.renew(self.cell, [], begun=claims, lease_ms=1_000))
        if cancelled:
            self.do(protocol.cancel(self.q, ["t0"]))
        self.now += 5_000
        return protocol.reap([self.q])

    def late_again(self) -> Call[Any]:
        """A reap of two tasks that crashed their worker before."""
        self.do(self.late())
        self.do(protocol.promote([self.q], mover="m"))
        claims = list(self.do(self.claim()).tasks)
        self.do(protocol.renew(self.cell, [], begun=claims, lease_ms=1_000))
        self.now += 5_000
        return protocol.reap([self.q])

    def returned_late(self) -> Call[Any]:
        """A return of two tasks whose start-by has passed."""
        call = self.settled("return", expires_in="20ms")
        self.now += 20
        return call

    def late_for(self, step: Callable[..., None]) -> None:
        """Tasks whose start-by has passed."""
        step(expires_in="20ms")
        self.now += 20

    def after(self, step: Callable[[], Any], call: Call[Any]) -> Call[Any]:
        """The call, once the step is done."""
        step()
        return call

    def again(self, call: Call[Any]) -> Call[Any]:
        """The same claim a second time, when the start-by of its tasks has passed."""
        self.ready(2, expires_in="20ms")
        self.do(call)
        self.now += 20
        return call

    def moving(self, step: Callable[[], Any], *, back: bool = False) -> Call[Any]:
        """A move of two tasks, once the step is done; back: to where their notes are."""
        step()
        other = queue_keys(self.cell, "b")
        call = protocol.move(self.q, ["t0", "t1"], to="b")
        if not back:
            return call
        self.do(call)
        return protocol.move(other, ["t0", "t1"], to="a")

    def held(self) -> None:
        """Two tasks that are held."""
        for number in range(2):
            self.line("HSET", self.q.task(f"t{number}"), "type", "t", "payload", "{}", "state", "held")
            self.line("ZADD", self.q.index("held"), self.now + 60_000, f"t{number}")
        self.state = self._look()

    def swept(self) -> Call[Any]:
        """A sweep of two finished tasks."""
        self.do(self.settled("complete"))
        self.now += 4_000_000
        return protocol.sweep([self.q])


SCENARIOS: dict[str, Callable[[Scene], Call[Any]]] = {
    "enqueue, later": lambda s: s.tasks(2),
    "enqueue, now": lambda s: s.tasks(2, delay="0s"),
    "enqueue, past its start-by": lambda s: s.tasks(2, delay="0s", expires_at=1_700_000_000_000),
    "promote": lambda s: s.after(s.due, protocol.promote([s.q], mover="m")),
    "promote, past the start-by": lambda s: s.after(lambda: s.late_for(s.due), protocol.promote([s.q], mover="m")),
    "promote after a dead reader": Scene.left_by_a_reader,
    "claim": lambda s: s.after(s.ready, s.claim()),
    "claim with a bell": Scene.rung,
    "claim, past the start-by": lambda s: s.after(lambda: s.late_for(s.ready), s.claim()),
    "claim again, past the start-by": lambda s: s.again(s.claim()),
    "settle: complete": lambda s: s.settled("complete", '"result"'),
    "settle: complete, kept for no time": lambda s: s.settled("complete", retention="0s"),
    "settle: retry": lambda s: s.settled("retry"),
    "settle: retry of the last attempt": lambda s: s.settled("retry", max_attempts=1),
    "settle: retry past the start-by": lambda s: s.settled("retry", "5000", expires_in="3s"),
    "settle: snooze": lambda s: s.settled("snooze", "50"),
    "settle: return": lambda s: s.settled("return"),
    "settle: return past the start-by": Scene.returned_late,
    "settle: unhandled": lambda s: s.settled("return", "unhandled"),
    "settle: dead": lambda s: s.settled("dead", "x"),
    "settle: cancelled": lambda s: s.settled("cancelled", "x"),
    "reap": lambda s: s.late(),
    "reap of one that has not begun": lambda s: s.late(begun=False, max_attempts=1),
    "reap of one that crashed before": Scene.late_again,
    "reap of the last attempt": lambda s: s.late(max_attempts=1),
    "reap past the start-by": lambda s: s.late(expires_in="2s"),
    "reap of one that was cancelled": lambda s: s.late(cancelled=True),
    "cancel of one that waits": lambda s: s.after(s.due, protocol.cancel(s.q, ["t0", "t1"])),
    "cancel of one that is ready": lambda s: s.after(s.ready, protocol.cancel(s.q, ["t0", "t1"])),
    "cancel of one that a dead reader holds": lambda s: s.after(s.left_by_a_reader, protocol.cancel(s.q, ["t0"])),
    "cancel of one that runs": lambda s: s.after(s.running, protocol.cancel(s.q, ["t0", "t1"])),
    "reschedule": lambda s: s.after(s.ready, protocol.reschedule(s.q, ["t0", "t1"], delay="50ms")),
    "reschedule of one that is held": lambda s: s.after(s.held, protocol.reschedule(s.q, ["t0", "t1"], delay="50ms")),
    "cancel of one that is held": lambda s: s.after(s.held, protocol.cancel(s.q, ["t0", "t1"])),
    "update": lambda s: s.after(
        s.ready, protocol.update(s.q, ["t0", "t1"], {"priority": "high", "max_attempts": None}, max_payload=100)
    ),
    "revive": lambda s: s.dead("revive"),
    "drop": lambda s: s.dead("drop"),
    "move of one that waits": lambda s: s.moving(s.due),
    "move of one that is ready": lambda s: s.moving(s.ready),
    "move of one that is dead": lambda s: s.moving(lambda: s.do(s.settled("dead", "x"))),
    "move back": lambda s: s.moving(s.due, back=True),
    "renew": lambda s: protocol.renew(s.cell, s.running(), lease_ms=9_000),
    "renew of one that has begun": lambda s: protocol.renew(s.cell, [], begun=s.running(), lease_ms=9_000),
    "sweep": Scene.swept,
}


def stops(line: Line, build: Build, name: str) -> int:
    """Stop the scenario's call before each write; how many there are. Raises Violation."""
    for at in range(1, MOST_WRITES):
        for repeated in (True,) if "held" in name else (True, False):  # nothing else ends a hold
            scene = Scene(line, build, 90_000_000)
            try:
                if not _stopped(scene, SCENARIOS[name](scene), at, repeated):
                    return at - 1
            except (Violation, Refused, KeyError) as broken:
                again = "repeated" if repeated else "not repeated"
                raise Violation(f"{name}, stopped before write {at}, {again}: {broken}") from broken
            finally:
                line("FCALL", f"{build.name}_halt", 0, 0)
                clear(line, scene.cell.tag)
    raise Violation(f"{name} writes without end")


def _stopped(scene: Scene, call: Call[Any], at: int, repeated: bool) -> bool:
    halt = ("FCALL", f"{scene.build.name}_halt", 0)
    scene.line(*halt, at)
    before = scene.state
    try:
        scene.line(*scene._words(call))
        return False
    except Refused as refused:
        if "RS_HALT" not in str(refused):
            raise
    finally:
        scene.line(*halt, 0)
    scene.state = scene._look()
    scene.oracle.halt(call, before, scene.state)
    if repeated:
        scene.do(call)
        done = {task for task, fields in scene.state.tasks.items() if fields.get("state") == "completed"}
        if '"result"' in call.args and done - scene.state.outcomes:
            raise Violation(f"without their results: {done - scene.state.outcomes}")
    scene._drain()
    return True


def first_failure(line: Line, build: Build) -> str | None:
    """What the first scenario that fails says."""
    for name in SCENARIOS:
        try:
            stops(line, build, name)
        except Violation as failure:
            return str(failure)
    return None
