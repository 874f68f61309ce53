"""The processes of a run: producers, workers, movers and the HTTP interface, each forked and each with its history.

They are the product as it is; only the worker's transport also writes down what the server answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import http.client
import json
import logging
import os
import random
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from redsched.client import AsyncClient, Client
from redsched.client.aio.transport import AsyncTransport
from redsched.client.sync.transport import Transport
from redsched.engine.app import App
from redsched.engine.context import Context
from redsched.engine.mover import Mover
from redsched.engine.worker import Worker
from redsched.eventloop import loop_factory
from redsched.model.errors import RedschedError, StoreRefused
from redsched.model.outcome import RetryLater, SnoozeFor
from redsched.model.task import Task
from redsched.observe import logs
from redsched.settings import Settings
from redsched.torture.history import Event, Journal
from redsched.web import server
from redsched.wire.call import Call
from redsched.wire.claims import Claimed, SettleAndClaim

T = TypeVar("T")
KIND = "torture.run"
PLAIN = "torture.plain"  # a handler without async, in a thread
STALL_S = 0.3
CANCELLED, EXPIRING, RESCHEDULED = 0.04, 0.04, 0.02  # shares of the tasks
WORDS_A_SETTLEMENT = 7


class Plan(msgspec.Struct, frozen=True):
    """What the processes of a run do."""

    settings: Settings
    folder: Path
    rate: float  # tasks a second of one producer
    batch: int = 20  # most tasks of one call
    longest_delay_ms: int = 1_500
    durability: tuple[str, ...] = ()  # a producer asks for one of these at each call; empty: as the settings say
    api_port: int = 0

    @property
    def client_name(self) -> str:
        """By which the server knows the connections of this run."""
        return f"torture-{self.settings.namespace}"


def fork(name: str, plan: Plan, role: Callable[[str, Plan], None]) -> int:
    """Start ``role`` in a process of its own, which ends with this one; answers its id."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the run, which ends us
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        log = os.open(plan.folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        logs.configure("warning", "text", sys.stderr)
        random.seed()
        role(name, plan)
        code = 0
    except BaseException:
        logging.exception("%s failed", name)
    finally:
        os._exit(code)


def server_ms(transport: Transport) -> int:
    """The server's clock."""

    def ask() -> Generator[Any, Any, int]:
        reply = yield ("TIME",)
        return int(reply[0]) * 1_000 + int(reply[1]) // 1_000

    return transport.steps("time", ask())


class RecordingTransport(AsyncTransport):
    """Writes down what the server answered to claim and settle; changes nothing."""

    def __init__(self, settings: Settings, name: str, journal: Journal) -> None:
        super().__init__(settings, name)
        self._journal = journal
        self._noted: deque[Call[Any]] = deque(maxlen=16)
        self._begun: deque[tuple[Call[Any], float]] = deque(maxlen=64)

    async def send(self, call: Call[T], *, retry_for: float | None = None) -> T:
        """As AsyncTransport."""
        sent = self._begin(call)
        answer = await super().send(call, retry_for=retry_for)
        self._note(call, sent, answer)
        return answer

    def _begin(self, call: Call[Any]) -> float:
        """When this call was sent for the first time: it may have been carried out then."""
        for begun, at in self._begun:
            if begun is call:
                return at
        now = time.monotonic()
        self._begun.append((call, now))
        if isinstance(call, SettleAndClaim) and call.claim is not None:
            self._begun.append((call.claim, now))  # it may be sent again by itself
        # before it leaves: it may be carried out and never answered
        self._journal.write_all(
            Event(now, "settle", phase="invoke", id=task_id, token=token, asked=asked)
            for task_id, token, asked in _settlements(call)
        )
        return now

    def _note(self, call: Call[Any], sent: float, answer: Any) -> None:
        now = time.monotonic()
        if any(call is noted for noted in self._noted):
            return
        self._noted.append(call)
        if isinstance(call, SettleAndClaim):
            words, claimed = answer
            self._note_settled(call, sent, now, words)
            self._note_claimed(sent, now, claimed)
        elif call.verb == "claim":
            self._note_claimed(sent, now, answer)
        elif call.verb == "settle":
            self._note_settled(call, sent, now, answer)

    def _note_claimed(self, sent: float, now: float, claimed: Claimed) -> None:
        self._journal.write_all(
            Event(
                now,
                "claim",
                phase="ok",
                id=started.id,
                token=started.token,
                attempt=started.attempt,
                sent=sent,
                server_ms=claimed.now,
                due_ms=started.due_at,
                expires_ms=started.expires_at or 0,
            )
            for started in claimed.tasks
        )

    def _note_settled(self, call: Call[Any], sent: float, now: float, words: Sequence[str]) -> None:
        self._journal.write_all(
            Event(now, "settle", phase="ok", sent=sent, word=word, id=task_id, token=token, asked=asked)
            for word, (task_id, token, asked) in zip(words, _settlements(call), strict=True)
        )


def _settlements(call: Call[Any]) -> list[tuple[str, str, str]]:
    """Id, token and outcome of each claim that a call ends."""
    if isinstance(call, SettleAndClaim):
        return [(end.task_id, end.token, end.outcome) for end in call.ends]
    if call.verb != "settle":
        return []
    starts = range(1, len(call.args), WORDS_A_SETTLEMENT)
    return [(str(call.args[at + 1]), str(call.args[at + 2]), str(call.args[at + 3])) for at in starts]


def application(journal: Journal) -> App:
    """Handlers that note their start before anything else, and then behave as their payload says."""
    app = App("torture")

    @app.task(KIND)
    async def run(ctx: Context, ms: int = 0, retry: int = 0, snooze: int = 0) -> None:
        journal.write("start", id=ctx.id, token=ctx.token, attempt=ctx.attempt)
        if ms:
            await asyncio.sleep(ms / 1_000)
        if ctx.attempt <= retry:
            raise RetryLater("asked for")
        if snooze and random.random() < 0.5:
            raise SnoozeFor(timedelta(milliseconds=snooze))

    @app.task(PLAIN)
    def plain(ctx: Context, ms: int = 0) -> None:
        journal.write("start", id=ctx.id, token=ctx.token, attempt=ctx.attempt)
        time.sleep(ms / 1_000)

    return app


def worker(name: str, plan: Plan, make: Callable[[Journal], App] = application) -> None:
    """A worker with its mover, with the handlers that ``make`` answers."""
    journal = Journal(plan.folder, name)

    async def work() -> None:
        client = AsyncClient(settings=plan.settings, name=plan.client_name)
        client.transport = RecordingTransport(plan.settings, plan.client_name, journal)
        runs = Worker(make(journal), plan.settings, client=client)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runs.stop)
        watching = asyncio.create_task(_watch_stalls(journal))
        code = await runs.run()
        watching.cancel()
        await client.close()
        if code:
            raise SystemExit(code)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(work())


async def _watch_stalls(journal: Journal) -> None:
    """Note when this process did not get to run: paused by a signal, or by a machine that is too busy."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.05)
        now = time.monotonic()
        if now - before > STALL_S:
            journal.write_all((Event(before, "stall", until=now),))


def mover(name: str, plan: Plan) -> None:
    """A mover alone."""

    async def move() -> None:
        runs = Mover(plan.settings, client=AsyncClient(settings=plan.settings, name=plan.client_name))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runs.stop)
        await runs.run()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(move())


def api(name: str, plan: Plan) -> None:
    """The HTTP interface."""
    server.run(msgspec.structs.replace(plan.settings, api_port=plan.api_port))


class Producer:
    """Submits until it is stopped; what had no answer is submitted again, with the same ids, until it has one."""

    def __init__(self, name: str, plan: Plan) -> None:
        self.plan = plan
        self.name = name
        self.journal = Journal(plan.folder, name)
        self.number = 0
        self.stopping = False
        self.offset_ms = 0.0  # server's clock less monotonic
        self.durability: str | None = None  # of the last call
        self.transport = Transport(plan.settings, plan.client_name)
        self.client = Client(settings=plan.settings, name=plan.client_name)
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def run(self, submit: Callable[[list[Task]], list[str]]) -> None:
        """Until SIGTERM, and until the last call has an answer."""
        next_look = 0.0
        while not self.stopping:
            began = time.monotonic()
            if began >= next_look:
                with contextlib.suppress(RedschedError):
                    self.offset_ms = server_ms(self.transport) - time.monotonic() * 1_000
                    next_look = began + 1.0
            if self.offset_ms:
                tasks = self.make(random.randint(1, self.plan.batch))
                self.submit(tasks, submit)
                self.change(tasks)
                time.sleep(max(0.0, began + len(tasks) / self.plan.rate - time.monotonic()))
            else:
                time.sleep(0.1)

    def make(self, count: int) -> list[Task]:
        """Tasks of every kind."""
        return [self._task() for _ in range(count)]

    def _task(self) -> Task:
        self.number += 1
        options: dict[str, Any] = {}
        draw, longest = random.random(), self.plan.longest_delay_ms
        if draw < 0.3:
            options["delay"] = random.randint(1, longest)
        elif draw < 0.6:
            options["due"] = int(time.monotonic() * 1_000 + self.offset_ms) + random.randint(-50, longest)
        if random.random() < EXPIRING:
            options["expires_in"] = random.randint(1, longest)
        kind, payload = random.choice(KINDS)
        lease = self.plan.settings.lease_ms
        payload = {name: random.randint(0, value(lease)) if callable(value) else value for name, value in payload}
        queue = random.choice(self.plan.settings.queues)
        return Task(
            type=kind,
            payload=payload,
            queue=queue,
            id=f"{queue}:{self.name}:{self.number}",
            max_attempts=1_000,
            retry=[0],
            retention="1d",
            priority=random.choice(("high", "normal", "normal", "normal", "low")),
            **options,
        )

    def submit(self, tasks: list[Task], send: Callable[[list[Task]], list[str]]) -> None:
        """Until there is a definite answer for each."""
        began = time.monotonic()
        self.journal.write_all(
            Event(
                began, "submit", phase="invoke", id=task.id or "", due_ms=task.due if isinstance(task.due, int) else 0
            )
            for task in tasks
        )
        while True:
            sent = time.monotonic()
            try:
                words = send(tasks)
                break
            except (RedschedError, OSError, http.client.HTTPException) as error:
                self.journal.write("submit", phase="info", word=type(error).__name__)
                if self.stopping and time.monotonic() - began > 20:
                    return
                time.sleep(0.05)
        now = time.monotonic()
        self.journal.write_all(
            Event(
                now,
                "submit",
                phase="ok" if word in ("created", "existing") else "fail",
                word=word,
                id=task.id or "",
                sent=sent,
                asked=self.durability or "",
            )
            for task, word in zip(tasks, words, strict=True)
        )

    def change(self, tasks: list[Task]) -> None:
        """Cancel some and give some another due time; what has no answer stays unknown."""
        for task in tasks:
            draw = random.random()
            assert task.id is not None
            name = task.id
            try:
                if draw < CANCELLED:
                    self.journal.write("cancel", phase="invoke", id=name)
                    word = self.client.cancel(task.id, queue=task.queue)[task.id]
                    self.journal.write("cancel", phase="ok", id=name, word=word)
                elif draw < CANCELLED + RESCHEDULED:
                    self.journal.write("reschedule", phase="invoke", id=name)
                    word = self.client.reschedule(task.id, queue=task.queue, delay=random.randint(0, 1_000))[task.id]
                    self.journal.write("reschedule", phase="ok", id=name, word=word)
            except RedschedError:
                self.journal.write("cancel", phase="info", id=name)


KINDS: list[Any] = [
    (KIND, ()), (KIND, ()), (KIND, (("ms", lambda lease: 30),)), (KIND, (("ms", lambda lease: lease // 3),)),
    (KIND, (("retry", 1),)), (KIND, (("snooze", 50),)), (PLAIN, (("ms", lambda lease: 20),)),
    (KIND, (("ms", lambda lease: 5),)),
]  # fmt: skip


def producer(name: str, plan: Plan) -> None:
    """A producer with a client of its own."""
    made = Producer(name, plan)

    def submit(tasks: list[Task]) -> list[str]:
        made.durability = random.choice(plan.durability) if plan.durability else None
        return [answer.status for answer in made.client.enqueue_many(tasks, durability=made.durability)]

    made.run(submit)


def http_producer(name: str, plan: Plan) -> None:
    """A producer that speaks HTTP."""
    made = Producer(name, plan)

    def submit(tasks: list[Task]) -> list[str]:
        connection = http.client.HTTPConnection("127.0.0.1", plan.api_port, timeout=20)
        try:
            body = json.dumps([_as_json(task) for task in tasks])
            connection.request("POST", "/v1/tasks:batch", body, {"content-type": "application/json"})
            reply = connection.getresponse()
            text = reply.read()
            if reply.status != 200:
                raise StoreRefused("http", f"{reply.status}")
            words = [item.get("status", "") for item in json.loads(text)["results"]]
            if any(word not in ("created", "existing") for word in words):
                raise StoreRefused("http", text.decode(errors="replace")[:300])
            return words
        finally:
            connection.close()

    made.run(submit)


def _as_json(task: Task) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(task)
    return {name: (f"{value}ms" if name in ("delay", "expires_in") else value) for name, value in fields.items()}
