"""A deterministic simulation: virtual actors over the shipped Lua, on a real server, with a virtual clock and one seed.

The seed decides who acts, who crashes between two calls, whose answer is lost (the same call is sent again), what is
sent twice, which script stops half-way, what a foreign client writes, and how time goes on. After every call the oracle
compares the state before and after; at the end everything is drained. ``python -m tests.simulation.tasks --seeds
5000``; a seed that fails is printed and replays exactly: ``--seed N --trace``.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redsched.embedded import EmbeddedServer
from redsched.testing.clock import at_time
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.cells import Cell
from redsched.wire.claims import Settlement
from tests.simulation.actors import IDS, QUEUES, Actor, Listen, Mover, Operator, Producer, Worker
from tests.simulation.calls_and_states import Violation
from tests.simulation.oracle import Oracle
from tests.support.lua_builds import Build, Line, Refused, Snapshot, clear, snapshot, text

NOW = 1_800_000_000_000
STEPS = 70
STAYS = ("meta", "queues", "stats", "events", "claimed", "mover", "sweeps", "forgotten", "indexed")
TICKS = (0, 0, 0, 1, 10, 400, 1_000, 5_000, 31_000)
# what a foreign client may write over a task; {} is the id
_FIELDS = (
    ("priority", "urgent"), ("attempt", "many"), ("expires_at", "soon"), ("max_attempts", "0"), ("state", "Odd!"),
    ("retry", "never"), ("retention_ms", "-1"), ("type", "no name!"),
)  # fmt: skip

# the two commands of a raw producer, in one transaction as the contract says
_RAW = """redis.call('HSET', KEYS[1], 'type', 't', 'payload', '{}', 'retry', 'fixed 500', 'max_attempts', '2')
redis.call('ZADD', KEYS[2], 'NX', ARGV[1], ARGV[2])"""


@dataclass
class Failure:
    """A seed that broke a promise."""

    seed: int
    step: int
    problem: str

    def __str__(self) -> str:
        return f"seed {self.seed}, step {self.step}: {self.problem}"


class Run:
    """One seed."""

    def __init__(self, line: Line, build: Build, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.line, self.build, self.seed = line, build, seed
        self.rng = random.Random(seed)
        self.cell = Cell(f"s{seed:08d}")
        self.now = NOW
        self.oracle = Oracle()
        self.step = 0
        self.digest = hashlib.sha256()
        self._trace = trace
        self.with_halts = seed % 3 == 0
        self.with_garbage = seed % 2 == 0
        actors = [(Producer, 1), (Operator, 1), (Mover, 2), (Worker, 3)]
        self.actors: list[Actor] = [
            kind(f"{kind.__name__.lower()}{n}", self.cell, self.rng) for kind, many in actors for n in range(many)
        ]
        for actor in self.actors:
            if isinstance(actor, Operator):
                actor.moves = seed % 5 == 2
        self.state = Snapshot()

    def key(self, name: str) -> str:
        """A key of the namespace."""
        return f"{{{self.cell.tag}}}:{name}"

    def run(self, steps: int = STEPS) -> None:
        """All steps, then the drain; raises Violation."""
        clear(self.line, self.cell.tag)
        self.line("HSET", self.key("meta"), "virtual_clock", 1)
        self.state = self._look()
        for self.step in range(1, steps + 1):
            self._turn()
        self._drain()
        clear(self.line, self.cell.tag)

    def _look(self) -> Snapshot:
        return snapshot(self.line, self.cell.tag)

    def _tell(self, what: str) -> None:
        line = f"{self.step:3} +{self.now - NOW:7} {what}"
        self.digest.update(line.encode())
        if self._trace is not None:
            self._trace(line)

    def _turn(self) -> None:
        rng = self.rng
        if rng.random() < 0.3:
            self.now += rng.choice(TICKS)
        if self.with_garbage and rng.random() < 0.12:
            self._foreign()
            return
        if rng.random() < 0.05:
            self._age_pending()
        actor = rng.choice(self.actors)
        if actor.paused:
            actor.paused -= 1
            return
        chance = rng.random()
        if chance < 0.02:
            actor.paused = rng.randint(1, 4)
        elif chance < 0.06:
            self._tell(f"{actor.name} crashes")
            actor.forget()
            return
        call = actor.pending or actor.decide()
        actor.pending = call
        chance = rng.random()
        # which queue of several these write first is not the seed's
        ordered = len(call.keys) == 1 or call.verb not in ("enqueue", "claim", "settle")
        if self.with_halts and chance < 0.2 and ordered and not isinstance(call, Listen):
            self._halt(actor, call, rng.choice((1, 2, 2, 3, 3, 4, 5, 6, 8, 12)))
            return
        answer = self._send(actor.name, call)
        if chance > 0.92 and call.repeatable:
            self._tell(f"{actor.name} loses the answer")
        elif chance > 0.89:
            self._tell(f"{actor.name} crashes before it reads the answer")
            actor.forget()
        else:
            if chance > 0.85 and call.repeatable:  # sent twice by the network, the second answer arrives
                answer = self._send(actor.name, call)
            actor.pending = None
            actor.take(call, answer)

    def _words(self, call: Call[Any]) -> list[Any]:
        return ["FCALL", f"{self.build.name}_{call.verb}", len(call.keys), *call.keys, *at_time(call, self.now).args]

    def _send(self, who: str, call: Call[Any]) -> Any:
        """Make the call, judge what it did, and answer what its ``read`` reads."""
        if isinstance(call, Listen):
            try:
                reply = self.line(*call.args)
            except Refused:
                reply = None  # no group yet
            self.state = self._look()
            self._tell(f"{who} listens")
            return reply
        reply = self.line(*self._words(call))
        before, self.state = self.state, self._look()
        self._tell(f"{who} {call.verb} {_plain(call.args)} -> {_answer(call, reply)}")
        self.oracle.judge(call, self.now, reply, before, self.state)
        return call.read(reply)

    def _halt(self, actor: Actor, call: Call[Any], at: int) -> None:
        halt = ("FCALL", f"{self.build.name}_halt", 0)
        self.line(*halt, at)
        try:
            reply = self.line(*self._words(call))
        except Refused as refused:
            if "RS_HALT" not in str(refused):
                raise
            before, self.state = self.state, self._look()
            self._tell(f"{actor.name} {call.verb} {_plain(call.args)} stops before write {at}")
            self.oracle.halt(call, before, self.state)
            if not call.repeatable:
                actor.pending = None
        else:
            before, self.state = self.state, self._look()
            self._tell(f"{actor.name} {call.verb} {_plain(call.args)} -> {_answer(call, reply)}")
            self.oracle.judge(call, self.now, reply, before, self.state)
            actor.pending = None
            actor.take(call, call.read(reply))
        finally:
            self.line(*halt, 0)

    def _age_pending(self) -> None:
        """Entries that a reader got and did not claim are older than a second; a server's idle times are real time."""
        for (queue, entry), consumer in self.state.pending.items():
            priority, _, at = entry.partition("/")
            stream = self.key(f"ready:{queue}" + ("" if priority == "normal" else f":{priority}"))
            self.line("XCLAIM", stream, "workers", consumer, 0, at, "IDLE", 5_000, "JUSTID")

    # --- other programs

    def _foreign(self) -> None:
        """Another program writes: a good raw task, or something that makes no sense."""
        rng, line = self.rng, self.line
        queue, task_id = rng.choice(QUEUES), f"t{rng.randrange(IDS)}"
        task, due, now = self.key(f"task:{queue}:{task_id}"), self.key(f"due:{queue}"), self.now
        stream = self.key(f"ready:{queue}")
        kind = rng.randrange(12)
        known = (queue, task_id) in self.state.tasks or (queue, task_id) in self.state.wrong
        if kind <= 2 and not known:
            line("EVAL", _RAW, 2, task, due, rng.choice((0, now, now + 700)), task_id)
        elif kind == 3:
            line("ZADD", due, rng.choice(("NX", "CH")), rng.choice((0, now, now + 10)), task_id)
        elif kind == 4:
            line("ZADD", due, rng.choice((5, -1, now / 1_000, now * 1_000, "inf")), f"bad time {rng.randrange(3)}")
        elif kind == 5:
            line("ZADD", due, 0, rng.choice(("{x}", "a b", "", "x" * 200, "\r\nSET", b"\xff\xfe")))
        elif kind == 6 and not known:
            line("SET", task, "no hash")
            line("ZADD", due, now, task_id)
        elif kind == 7:
            line("XADD", stream, "*", *rng.choice((("id", task_id), ("x", "y"), ("id", "nobody"), ("id", "a b"))))
        elif kind == 8:
            line("ZADD", self.key(f"running:{queue}"), "NX", rng.choice((now, now + 1_000, now * 10)), task_id)
        elif kind == 9:
            line("ZADD", self.key(f"{rng.choice(('finished', 'dead'))}:{queue}"), "NX", now, task_id)
        elif kind == 10:
            line("ZADD", due, now, "nobody")
        elif (queue, task_id) in self.state.tasks:
            field, value = rng.choice(_FIELDS)
            state = self.state.tasks[queue, task_id].get("state", "scheduled")
            if state == "scheduled":
                line("HSET", task, field, value)
        self.oracle.loose.add((queue, task_id))
        self.oracle.loose.update(
            (queue, stray) for names in self.state.where() for stray in [names[1]] if names not in self.state.tasks
        )
        self.state = self._look()
        for stray in self.state.where():
            if stray not in self.state.tasks:
                self.oracle.loose.add(stray)
        self._tell(f"foreign {kind} {queue} {task_id}")
        self.oracle.foreign(self.state)

    # --- the end

    def _drain(self) -> None:
        """A healthy mover and worker, and time: everything ends."""
        queues = [Actor("d", self.cell, self.rng).keys(queue) for queue in QUEUES]
        for self.step in range(1_001, 1_100):
            self._age_pending()
            self._send("drain", protocol.promote(queues, mover="drain", limit=500))
            self._send("drain", protocol.reap(queues, limit=500))
            claimed = self._send("drain", protocol.claim(queues, consumer="drain", count=100, lease_ms=30_000))
            if claimed.tasks:
                ends = [Settlement(task.queue, task.id, task.token, "complete") for task in claimed.tasks]
                self._send("drain", protocol.settle(self.cell, ends))
            self.now += 40_000
            live = sum(len(ids) for (_, place), ids in self.state.places.items() if place in ("due", "running", "held"))
            if not live and not self.state.entries and not claimed.tasks:
                break
        self.oracle.drained(self.state)
        self.now += 40 * 86_400_000
        for _ in range(10):
            if not self._send("drain", protocol.sweep(queues, limit=500)).more:
                break
        self.state = self._look()
        left = [key for key in self.state.others if key.partition(":")[0] not in STAYS]
        kept = {task for task in self.state.tasks if task not in self.oracle.loose | self.oracle.unwritten}
        if left or kept:
            raise Violation(f"left behind: {left} {kept}")


def _answer(call: Call[Any], reply: Any) -> str:
    """The reply; of promote without which mover acts, which real time decides."""
    return _plain([reply[0], *reply[2:]] if call.verb == "promote" else reply)


def _plain(value: Any) -> str:
    """Words of a call or a reply for people, without what differs from run to run."""
    if isinstance(value, list | tuple):
        return "[" + " ".join(_plain(item) for item in value) + "]"
    word = text(value)
    if word.startswith("begun/"):
        return word.partition(".")[0] + ".*"  # the attempt, without the claim's nonce
    if len(word) > 12 and word.partition("/")[2].partition("-")[0].isdigit():
        return word.partition("/")[0] + "/*"
    if len(word) >= 16 and all(letter in "0123456789abcdef." for letter in word):
        return "*"
    return word if len(word) <= 60 else word[:57] + "..."


def simulate(line: Line, build: Build, seed: int, trace: Callable[[str], None] | None = None) -> tuple[str, int]:
    """Run one seed; the digest of its trace and the number of runs it started. Raises Violation with the seed."""
    run = Run(line, build, seed, trace)
    try:
        run.run()
    except (Violation, Refused, KeyError) as broken:
        raise Violation(str(Failure(seed, run.step, f"{type(broken).__name__}: {broken}"))) from broken
    finally:
        clear(line, run.cell.tag)
    return run.digest.hexdigest(), run.oracle.ledger.runs


def first_failure(line: Line, build: Build, seeds: Iterator[int]) -> str | None:
    """What the first seed that fails says."""
    for seed in seeds:
        try:
            simulate(line, build, seed)
        except Violation as failure:
            return str(failure)
    return None


def _batch(work: tuple[int, int, range]) -> tuple[int, int, list[str]]:
    port, processes, seeds = work
    db = multiprocessing.current_process()._identity[0] % processes
    line = Line(port, db)
    failures: list[str] = []
    build, runs = Build(f"sim{db}"), 0  # a build of its own: where to stop is the library's state
    for seed in seeds:
        try:
            runs += simulate(line, build, seed)[1]
        except Violation as failure:
            failures.append(str(failure))
    line.close()
    return len(seeds), runs, failures


def _campaign(port: int, first: int, count: int, processes: int) -> int:
    size = 50
    work = [(port, processes, range(at, min(at + size, first + count))) for at in range(first, first + count, size)]
    began, done, runs = time.monotonic(), 0, 0
    failures: list[str] = []
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for seeds, started, failed in pool.imap_unordered(_batch, work):
            done, runs, failures = done + seeds, runs + started, failures + failed
            rate = done / (time.monotonic() - began)
            print(f"{done} of {count} seeds, {rate:.0f}/s, {runs} runs, {len(failures)} failed", flush=True)
    for failure in failures[:20]:
        print(failure)
    seconds = time.monotonic() - began
    print(f"{done} seeds in {seconds:.0f} s, {runs} task runs, {len(failures)} seeds with a violation")
    return 1 if failures else 0


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.tasks", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--trace", action="store_true", help="print every step of --seed")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder), appendfsync="no") as server:
        line = Line(server.port)
        line("CONFIG", "SET", "appendonly", "no")
        build = Build.load(line, "sim0")
        if asked.seed is None:
            for db in range(1, asked.processes):
                Build.load(line, f"sim{db}")
            return _campaign(server.port, asked.first, asked.seeds, asked.processes)
        try:
            digest, runs = simulate(line, build, asked.seed, print if asked.trace else None)
        except Violation as failure:
            print(failure)
            return 1
        print(f"seed {asked.seed}: {runs} task runs, trace {digest[:16]}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
