"""Stories of the campaign of conditions: tasks with conditions, keys, digests or parents, and what happens."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from redsched import Again, Conditions, Digest, Every, Hold, Rule, Schedule, Task, TaskTemplate, Unique, WaitFor, fact
from redsched.model.condition import After
from redsched.torture.plan import Plan
from tests.campaign.condition_app import KIND, PLAIN
from tests.campaign.condition_ledger import Wish
from tests.campaign.condition_work import Producer

BELL = "bell"  # an event that a rule makes tasks of
WORK: tuple[dict[str, Any], ...] = ({}, {}, {}, {"ms": 20}, {"ms": 300}, {"fail": 1}, {"snooze": 60}, {"ms": 1_500})


def now_ms() -> int:
    """This machine's clock, which is the server's."""
    return time.time_ns() // 1_000_000


def around(chance: random.Random, due_s: float) -> float:
    """A moment before, at or after a due time; the most at it."""
    at = (due_s * chance.random(), due_s + chance.uniform(-0.006, 0.006), due_s + chance.uniform(0, 0.4))
    return max(0.0, chance.choice(at))


def plain(p: Producer) -> int:
    """Tasks of all kinds; some have a start-by, some are cancelled, some have one attempt or are forgotten at once."""
    told = []
    for _ in range(p.chance.randint(2, 10)):
        wish = Wish("plain", retention_ms=p.chance.choice((-1, -1, 0, 500)), attempts=p.chance.choice((1, 1_000)))
        draw, ahead = p.chance.random(), 0
        if draw < 0.3:
            ahead = wish.delay_ms = p.chance.randint(1, 1_500)
        elif draw < 0.6:
            ahead = p.chance.randint(-50, 1_500)
            wish.due_ms = now_ms() + ahead
        options: dict[str, Any] = {"priority": p.chance.choice(("high", "normal", "normal", "low"))}
        if p.chance.random() < 0.15:
            options["expires_in"] = f"{max(ahead, 0) + p.chance.randint(20, 2_000)}ms"
        work = p.chance.choice(WORK)
        if p.chance.random() < 0.1:
            options["type"], work = PLAIN, {"ms": 30}
        elif p.chance.random() < 0.004:
            work = {"block": 2_600}
        told.append(p.task(wish, work if wish.attempts > 1 else {}, **options))
        if p.chance.random() < 0.12:
            p.later(p.chance.uniform(0, wish.delay_ms / 1_000 + 0.1), p.cancel, told[-1][0])
    p.submit(told)
    return len(told)


def burst(p: Producer) -> int:
    """So many that workers hold some ahead: quick ones, then slow ones with a start-by, one attempt or a cancel."""
    queue = p.chance.choice(p.plan.settings.queues)
    told = [p.task(Wish("burst", queue=queue)) for _ in range(p.chance.choice((30, 90)))]
    for _ in range(p.chance.choice((30, 60))):
        wish = Wish("burst", queue=queue, attempts=p.chance.choice((1, 1_000)))
        options = {"expires_in": f"{p.chance.randint(200, 2_500)}ms"} if p.chance.random() < 0.5 else {}
        told.append(p.task(wish, {"ms": p.chance.choice((50, 200, 800))}, **options))
        if p.chance.random() < 0.3:
            p.later(p.chance.uniform(0, 0.6), p.cancel, told[-1][0])
    p.submit(told)
    return len(told)


def tested(p: Producer) -> int:
    """``unless`` and ``only_if``, with the event before, at or after the due time, or never."""
    told = []
    for _ in range(p.chance.randint(1, 4)):
        subject, delay = f"{p.name}-{p.number()}", p.chance.randint(0, 900)
        wish = Wish("tested", due_ms=now_ms() + delay)
        name = f"f:{subject}"
        if p.chance.random() < 0.6:
            wish.unless = name
            made = Conditions(unless=name)
        else:
            wish.only_if, wish.above = name, 5
            made = Conditions(only_if=fact(name, field="n").greater(5))
            if p.chance.random() < 0.4:
                wish.again_ms = 1_000
                made.otherwise = Again("1s", within="4s")
        if p.chance.random() < 0.75:
            p.later(around(p.chance, delay / 1_000), p.emit, subject, p.chance.choice((3, 9)))
        told.append(p.task(wish, p.chance.choice(WORK), conditions=made))
    p.submit(told)
    return len(told)


def awaited(p: Producer) -> int:
    """``wait_for`` one or two facts, with and without an end."""
    told = []
    for _ in range(p.chance.randint(1, 4)):
        subjects = [f"{p.name}-{p.number()}" for _ in range(p.chance.randint(1, 2))]
        wish = Wish("awaited", awaits=[f"f:{subject}" for subject in subjects], any=p.chance.random() < 0.4)
        wish.within_ms, wish.then_runs = p.chance.choice((0, 400, 1_200)), p.chance.random() < 0.4
        wish.delay_ms = p.chance.choice((0, 0, 200))
        given: dict[str, Any] = {"any" if wish.any else "all": wish.awaits}
        if wish.within_ms:
            given |= {"within": f"{wish.within_ms}ms", "then": "run" if wish.then_runs else "expire"}
        for subject in subjects:
            if p.chance.random() < 0.85:
                p.later(around(p.chance, wish.within_ms / 1_000 or 0.5), p.emit, subject)
        told.append(p.task(wish, p.chance.choice(WORK), conditions=Conditions(wait_for=WaitFor(**given))))
    p.submit(told)
    return len(told)


def expected(p: Producer) -> int:
    """Run unless an event comes first: ``cancel_on``, as ``expect`` writes it; one event may be for many."""
    subject, told = f"{p.name}-{p.number()}", []
    for _ in range(p.chance.choice((1, 1, 2, 3, 40))):
        wish = Wish("expected", delay_ms=p.chance.randint(0, 900), cancel_on=[f"f:{subject}"])
        told.append(p.task(wish, p.chance.choice(WORK), conditions=Conditions(cancel_on=wish.cancel_on)))
    if p.chance.random() < 0.15:
        p.emit(subject)
    elif p.chance.random() < 0.75:
        p.later(around(p.chance, told[0][1].delay_ms / 1_000), p.emit, subject)
    p.submit(told)
    return len(told)


def line(p: Producer) -> int:
    """Tasks of one key in their order, across delays, retries, snoozes, dead letters and cancels."""
    queue, key, place = p.chance.choice(p.plan.settings.queues), f"line-{p.name}-{p.number()}", 0
    for part in range(p.chance.randint(1, 4)):
        told = []
        for _ in range(p.chance.randint(1, 5)):
            place += 1
            wish = Wish("line", queue=queue, line=key, place=place, delay_ms=p.chance.choice((0, 0, 0, 150, 600)))
            work = p.chance.choice((*WORK[:-1], {"reject": True}))
            told.append(p.task(wish, work, key=key, conditions=Conditions(fifo=True)))
            if p.chance.random() < 0.06:
                p.later(part * 0.4 + p.chance.uniform(0, 1), p.cancel, told[-1][0])
        p.later(part * 0.4, p.submit, told)
    return place


def unique(p: Producer) -> int:
    """Tasks of one key that must not run at once, by each mode; some of them in line as well."""
    queue, key = p.chance.choice(p.plan.settings.queues), f"unique-{p.name}-{p.number()}"
    mode = p.chance.choice(("reject", "replace", "debounce", "keep_last"))
    fifo = mode == "keep_last" and p.chance.random() < 0.4
    count = p.chance.randint(3, 8)
    for number in range(count):
        wish = Wish("unique", queue=queue, unique=key, mode=mode, delay_ms=p.chance.choice((0, 0, 200)))
        given = Conditions(unique=Unique(key=key, mode=mode, longest="1s" if mode == "debounce" else None), fifo=fifo)
        work = p.chance.choice(({}, {"ms": 100}, {"ms": 500}, {"fail": 1}))
        told = [p.task(wish, work, key=f"{key}-{number % 2}" if fifo else None, conditions=given)]
        p.later(number * p.chance.uniform(0.05, 0.4), p.submit, told)
    return count


def digest(p: Producer) -> int:
    """Payloads that become one task; some of them have an end of their own before that."""
    queue, key = p.chance.choice(p.plan.settings.queues), f"digest-{p.name}-{p.number()}"
    made = Digest(key=key, grace=f"{p.chance.randint(200, 700)}ms", longest="1500ms", size=p.chance.choice((4, 1_000)))
    count, sent_s = p.chance.randint(3, 12), 0.0
    harm = p.chance.random() < 0.4
    for _ in range(count):
        wish, options = Wish("digest", queue=queue, digest=key), dict[str, Any]()
        given = Conditions(digest=made)
        sent_s += p.chance.uniform(0, 0.25)
        draw = p.chance.random() if harm else 1.0
        if draw < 0.15:
            subject = f"{p.name}-{p.number()}"
            wish.unless = f"f:{subject}"
            given.unless = wish.unless
            p.later(sent_s + p.chance.uniform(0, 0.5), p.emit, subject)
        elif draw < 0.3:
            subject = f"{p.name}-{p.number()}"
            wish.cancel_on = [f"f:{subject}"]
            given.cancel_on = wish.cancel_on
            p.later(sent_s + p.chance.uniform(0, 0.5), p.emit, subject)
        elif draw < 0.4:
            options["expires_in"] = f"{p.chance.randint(50, 900)}ms"
        told = [p.task(wish, {"ms": 20}, conditions=given, **options)]
        if 0.4 <= draw < 0.55:
            p.later(sent_s + p.chance.uniform(0, 0.6), p.cancel, told[0][0])
        p.later(sent_s, p.submit, told)
    return count


def family(p: Producer) -> int:
    """A chain, or a group with a join; parents fail, are cancelled, or are never made because they are not unique."""
    otherwise = p.chance.choice(("cancel", "cancel", "skip", "run"))
    bad, is_chain = p.chance.random() < 0.35, p.chance.random() < 0.5
    count, told = p.chance.randint(3, 8), list[tuple[Task, Wish]]()
    twice = is_chain and p.chance.random() < 0.15
    taken = f"taken-{p.name}-{p.number()}"
    queue = p.chance.choice(p.plan.settings.queues)
    if twice:
        wish = Wish("unique", queue=queue, unique=taken, mode="reject")
        p.submit([p.task(wish, {"ms": 1_200}, conditions=Conditions(unique=Unique(key=taken)))])
    for number in range(count):
        wish = Wish("family", queue=queue if twice else "")
        if number and (is_chain or number == count - 1):
            parents = told[-1:] if is_chain else told
            wish.parents, wish.otherwise = [task.id or "" for task, _ in parents], otherwise
            wish.on = "success" if is_chain else p.chance.choice(("success", "success", "either", "failure"))
        work = dict(p.chance.choice(WORK[:-1]))
        if bad and number == 1:
            work = {"reject": True}
        given = Conditions(unique=Unique(key=taken)) if twice and number == 1 else None
        told.append(p.task(wish, work, conditions=given))
        if p.chance.random() < 0.03:
            p.later(p.chance.uniform(0, 0.6), p.cancel, told[-1][0])
    on = told[-1][1].on
    if p.chance.random() < 0.5:  # by hand: each names its parents itself
        by_id = {task.id: task for task, _ in told}
        for task, wish in told:
            if wish.parents:
                ids = [f"{by_id[one].queue}/{one}" for one in wish.parents]
                given = task.conditions if isinstance(task.conditions, Conditions) else Conditions()
                given.after = After(ids=ids, on=wish.on, otherwise=otherwise)  # type: ignore[arg-type]
                task.conditions = given
        p.submit(told)
    elif is_chain:
        p.submit(told, partial(p.client.chain, otherwise=otherwise))
    else:
        p.submit(told, lambda tasks: p.client.group(tasks[:-1], tasks[-1], on=on, otherwise=otherwise))
    return count


def held(p: Producer) -> int:
    """Held until it is confirmed: it is, before or about when that ends, or is abandoned, or nothing comes."""
    told = []
    for _ in range(p.chance.randint(1, 3)):
        wish = Wish("held", held=True, within_ms=p.chance.choice((300, 900)), then_runs=p.chance.random() < 0.2)
        token = f"token-{p.number()}"
        given = Hold(token=token, within=f"{wish.within_ms}ms", then="run" if wish.then_runs else "expire")
        told.append(p.task(wish, p.chance.choice(WORK), conditions=Conditions(hold=given)))
        act = p.chance.choice((p.confirm, p.confirm, p.abandon))
        if p.chance.random() < 0.85:
            p.later(around(p.chance, wish.within_ms / 1_000), act, told[-1][0], token)
    p.submit(told)
    return len(told)


def halted(p: Producer) -> int:
    """A key that is paused for a while, before and after its tasks are due."""
    queue, key = p.chance.choice(p.plan.settings.queues), f"halt-{p.name}-{p.number()}"
    told = [
        p.task(Wish("halted", queue=queue, halt=key, delay_ms=p.chance.choice((0, 100, 500))), {"ms": 30}, key=key)
        for _ in range(p.chance.randint(2, 5))
    ]
    p.later(p.chance.uniform(0, 0.2), p.pause, queue, key, p.chance.uniform(0.2, 0.9))
    p.later(p.chance.uniform(0, 0.3), p.submit, told)
    return len(told)


def rung(p: Producer) -> int:
    """Events that a rule makes tasks of."""
    for _ in range(2):
        p.later(p.chance.uniform(0, 0.5), p.emit, f"{p.name}-{p.number()}", 1, BELL)
    return 2


Told = Callable[[Producer], int]
STORIES: tuple[tuple[Told, float], ...] = (
    (plain, 10), (burst, 1), (tested, 6), (awaited, 5), (expected, 4), (line, 6), (unique, 5), (digest, 5),
    (family, 6), (held, 4), (halted, 2), (rung, 3),
)  # fmt: skip


def producer(name: str, plan: Plan) -> None:
    """A producer that tells stories of all kinds."""
    made = Producer(name, plan)
    stories, weights = [story for story, _ in STORIES], [weight for _, weight in STORIES]
    made.run(lambda p: p.chance.choices(stories, weights)[0](p))


def schedules(queues: Sequence[str]) -> list[Schedule]:
    """Short intervals under each policy; some runs are longer than the interval."""
    policies = ("skip", "allow_all", "buffer_one", "buffer_all", "cancel_other", "skip")
    return [
        Schedule(
            id=f"beat-{at}",
            every=[Every(1_000, phase=at * 137)],
            overlap=policy,  # type: ignore[arg-type]
            catch_up="all" if at % 2 else "latest",
            task=TaskTemplate(
                type=KIND,
                queue=queues[at % len(queues)],
                payload={"ms": 1_300 if at > 1 else 50},
                retry=["0s"],
                max_attempts=1_000,
            ),
        )
        for at, policy in enumerate(policies)
    ]


def rules(queues: Sequence[str]) -> list[Rule]:
    """One that makes a task of each bell."""
    template = TaskTemplate(type=KIND, queue=queues[0], payload={}, retry=[0], max_attempts=1_000)
    return [Rule(id="ring", on=BELL, task=template, bind={"n": "data.n"})]
