"""Conditions, keys, digests, workflows, schedules and events under all faults at once, judged by an external ledger.

The variant is a server, with ``-scripts`` where it has no functions and ``-failover`` where it is a primary with a
replica that takes over. At the end every task has its end, and after retention no key is left but those that stay.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import redis

from redsched.observe.doctor import examine
from redsched.settings import Settings
from redsched.torture import services
from redsched.torture.nemesis import Fault
from redsched.torture.run import plan_for, trouble
from redsched.torture.stage import DRAIN_S, Stage
from redsched.wire import protocol
from redsched.wire.call import Call
from redsched.wire.ids import nonce
from redsched.wire.keys import queue_keys
from tests.campaign.condition_app import listener, worker
from tests.campaign.condition_faults import Deployment
from tests.campaign.condition_judge import JUDGED, Verdict
from tests.campaign.condition_ledger import NEVER, World, line, read
from tests.campaign.condition_rules import verdict_of
from tests.campaign.condition_stories import BELL, producer, rules, schedules
from tests.campaign.scenario import Result, Tell
from tests.support.consistency import assert_consistent

CAST = {"worker": 6, "mover": 3, "producer": 3, "listener": 1}
ROLES = {"worker": worker, "mover": services.mover, "producer": producer, "listener": listener}
EVERY_MS, LEASE_MS, RATE = 1_000, 2_000, 50.0
# and facts, which expire
STAYS = ("events", "stats", "meta", "queues", "sweeps", "mover", "ready", "calendars", "types", "defaults", "schemas",
         "apps", "owned", "emitted", "forgotten", "indexed")  # fmt: skip
MONTH_MS = 31 * 86_400_000


def run(result: Result, folder: Path, seconds: float, tell: Tell) -> None:
    """One segment."""
    kind, *how = result.variant.split("-")
    with ExitStack() as stack:
        deployment = Deployment(stack, kind, folder / "data", scripts="scripts" in how, pair="failover" in how)
        history = folder / "history"
        history.mkdir(parents=True, exist_ok=True)
        plan = plan_for(Settings(redis_url=deployment.url), history, rate=RATE, lease_ms=LEASE_MS)
        changed = msgspec.structs.replace(plan.settings, concurrency=8, prefetch=64, data_dir=str(folder / "spool"))
        lasting = ("memory", "replicas:1") if deployment.replica is not None else ()
        plan = msgspec.structs.replace(plan, settings=changed, durability=lasting)
        stage = stack.enter_context(Stage(plan, cast=CAST, roles=ROLES))
        stage.journal.write_all([line("begun")])
        stage.client.install()
        begin(stage)
        stage.start()
        faults = [Fault(fault.name, weight, fault.strike) for fault, weight in deployment.faults()]
        trouble(stage, seconds, random.Random(result.seed), faults=faults, pace=(0.05, 0.3), tell=tell)
        tell("draining")
        drained = drain(stage, deployment)
        audit(stage)
        if not drained:
            result.problems.append(f"STUCK: {stage.left()} tasks did not end within {DRAIN_S:.0f} s")
        result.problems += [f"CRASH {name} ended although nobody ended it" for name in stage.crashes]
        ill = examine(stage.client, pause=0.5).findings
        result.problems += [f"DOCTOR {found.rule} {found.kind} {found.name} of {found.queue}" for found in ill[:20]]
        with deployment.connect() as connection:
            try:
                assert_consistent(connection, plan.settings.namespace)
            except AssertionError as torn:
                result.problems.append(f"TORN {str(torn)[:300]}")
            left = left_after_retention(stage, connection)
            result.problems += [f"LEFT {key}" for key in left[:20]]
        world = World(history, lease_ms=LEASE_MS)
        judge(result, verdict_of(world), world, len(left))


def begin(stage: Stage) -> None:
    """Schedules and rules are there from the first moment."""
    for schedule in schedules(stage.plan.settings.queues):
        stage.client.schedules.put(schedule)
    for rule in rules(stage.plan.settings.queues):
        stage.client.put_rule(rule)


def drain(stage: Stage, deployment: Deployment) -> bool:
    """Producers and schedules end, events that somebody waits for come, all runs to its end; whether it did."""
    stage.heal()
    with deployment.connect() as connection:
        connection.config_set("maxmemory", "0")
    stage.end(("producer",), 30.0)
    for schedule in schedules(stage.plan.settings.queues):
        stage.client.schedules.pause(schedule.id, reason="the end")
    note_schedules(stage, deployment)
    world = World(stage.plan.folder, lease_ms=LEASE_MS)
    wishes = [case.wish for case in world.cases.values() if case.wish is not None]
    awaited = {fact for wish in wishes if not wish.within_ms for fact in wish.awaits}
    there = {fact for fact, acts in world.emits.items() if any(act.answered < NEVER for act in acts)}
    for fact in sorted(awaited - there):
        token, (event, _, subject) = nonce(), fact.partition(":")
        stage.journal.write_all([line("emit", phase="invoke", id=fact, token=token, more={"n": 1, "event": token})])
        stage.client.emit(event, subject, {"n": 1}, ttl="10m", id=token)
        stage.journal.write_all([line("emit", phase="ok", id=fact, token=token)])
    for schedule in schedules(stage.plan.settings.queues):
        stage.client.schedules.delete(schedule.id)
    for rule in rules(stage.plan.settings.queues):
        stage.client.drop_rule(rule.id)
    drained = stage.drain()
    stage.end(("listener",), 5.0)
    return drained


def note_schedules(stage: Stage, deployment: Deployment) -> None:
    """What became of the slots of each schedule: its counters, its next slot, and the slots that made a task."""
    keys = stage.client.cell_keys
    with deployment.connect() as connection:
        for schedule in schedules(stage.plan.settings.queues):
            found: Any = connection.hgetall(keys.schedule(schedule.id))
            phase: Any = schedule.every[0].phase  # type: ignore[index, union-attr]
            first = (int(found["changed_at"]) - phase) // EVERY_MS * EVERY_MS + EVERY_MS + phase
            following = int(found.get("slot") or first)
            slots = range(first, following, EVERY_MS)
            there = connection.pipeline(transaction=False)
            for slot in slots:
                there.exists(f"{keys.prefix}task:{schedule.task.queue}:{schedule.id}@{slot}")
            made = [str(slot) for slot, exists in zip(slots, there.execute(), strict=True) if exists]
            more = {"first": str(first), "every": str(EVERY_MS), "slots": " ".join(made)}
            more |= {"queue": schedule.task.queue, **found}
            stage.journal.write_all([line("schedule", id=schedule.id, more=more)])


def audit(stage: Stage) -> None:
    """The state that each task ended in."""
    wanted: dict[str, set[str]] = {queue: set() for queue in stage.plan.settings.queues}
    for one in read(stage.plan.folder):
        if one.op == "submit" and one.phase == "invoke" and one.wish is not None:
            wanted[one.wish.queue].add(one.id)
        elif one.op == "schedule":
            wanted[one.more["queue"]] |= {f"{one.id}@{slot}" for slot in one.more["slots"].split()}
        elif one.op == "emit" and one.id.startswith(BELL + ":"):
            wanted[stage.plan.settings.queues[0]].add(f"ring:{one.more['event']}") if one.phase == "invoke" else None
    for queue, ids in wanted.items():
        ordered = sorted(ids)
        for at in range(0, len(ordered), 100):
            for task_id, view in stage.client.show(ordered[at : at + 100], queue=queue).items():
                if view is None:
                    stage.journal.write_all([line("final", id=task_id, word="missing")])
                    continue
                ended = 0 if view.finished_at is None else round(view.finished_at.timestamp() * 1_000)
                stage.journal.write_all(
                    [
                        line(
                            "final",
                            id=task_id,
                            word=view.state,
                            attempt=view.attempt,
                            asked=view.reason or view.blocked or "",
                            server_ms=ended,
                        )
                    ]
                )


def left_after_retention(stage: Stage, connection: redis.Redis) -> list[str]:
    """The keys that are there when the retention of everything is over, by a virtual clock, but those that stay."""
    client, keys = stage.client, [queue_keys(stage.client.cell, name) for name in stage.plan.settings.queues]
    connection.hset(client.cell_keys.meta, "virtual_clock", 1)
    seconds, _ = connection.time()
    now = int(seconds) * 1_000  # type: ignore[call-overload]

    def at(call: Call[Any]) -> Any:
        return stage.command(*client.mode.command(msgspec.structs.replace(call, args=(now, *call.args[1:]))))

    client.stats(stage.plan.settings.queues)  # the library is loaded, whatever was flushed last
    for _ in range(4):
        now += MONTH_MS
        for _ in range(200):
            swept = protocol.sweep(keys, limit=500)
            attended = protocol.attend(client.cell_keys, 500)
            if not at(swept)[0] + at(attended)[1]:
                break
    time.sleep(LEASE_MS / 1_000)
    prefix = client.cell_keys.prefix
    found = [str(key).removeprefix(prefix) for key in connection.scan_iter(match=prefix + "*", count=1_000)]
    # -1: it has no end; -2: it is gone by now
    return sorted(key for key in found if key.partition(":")[0] not in STAYS and connection.pttl(prefix + key) == -1)


def judge(result: Result, verdict: Verdict, world: World, left: int) -> None:
    """Put the verdict where the tables are made from."""
    counts = verdict.counts()
    judged = {column: sum(counts.get(rule, 0) for rule in found) for column, found in JUDGED.items()}
    judged["keys left"] = left
    result.submitted, result.executions, result.extra = verdict.tasks, verdict.starts, verdict.extra
    result.lost_to_loss, result.lease_ms, result.faults = verdict.by_loss, LEASE_MS, dict(world.struck)
    result.lost, result.early, result.unexplained = judged["lost"], judged["early"], judged["without a lease's end"]
    result.other = len(verdict.violations) - result.lost - result.early - result.unexplained + left
    told: dict[str, int] = {}
    for found in verdict.violations:
        told[found.rule] = told.get(found.rule, 0) + 1
        if told[found.rule] <= 10:
            result.problems.append(f"{found.rule} {found.id}: {found.story}")
    result.problems += [f"{rule} {count} in all" for rule, count in sorted(counts.items()) if count > 10]
    result.figures = {
        "kinds": verdict.kinds,
        "ends": verdict.ends,
        "stopped between look and start": verdict.caught,
        "asked for again": verdict.again,
        "judged": judged,
    }
    result.require(verdict.tasks > 0 and bool(world.struck), "VACUOUS: nothing was submitted, or nothing struck")
    missing = {kind for kind in ("plain", "tested", "line", "digest", "family") if not verdict.kinds.get(kind)}
    result.require(not missing, f"VACUOUS: no {', '.join(sorted(missing))}")
