"""The processes that submit tasks in a run, with a client of their own or over HTTP, and change some of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import signal
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, cast

import msgspec

from redsched.client import Client
from redsched.client.sync.transport import Transport
from redsched.model.errors import RedschedError, StoreRefused
from redsched.model.task import Task
from redsched.model.vocabulary import DEFAULT_QUEUE, Durability
from redsched.torture.handlers import KIND, PLAIN
from redsched.torture.history import Event, Journal
from redsched.torture.plan import Plan

CANCELLED, EXPIRING, RESCHEDULED = 0.04, 0.04, 0.02  # shares of the tasks


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
        draw, longest, wait = random.random(), self.plan.longest_delay_ms, 0
        if draw < 0.3:
            wait = random.randint(1, longest)
            options["delay"] = f"{wait}ms"
        elif draw < 0.6:
            wait = random.randint(-50, longest)
            options["due"] = int(time.monotonic() * 1_000 + self.offset_ms) + wait
        if random.random() < EXPIRING:  # soon after it is due; by the producer's clock, which may be a little off
            options["expires_in"] = f"{max(wait, 0) + random.randint(20, longest)}ms"
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
            retry=["0s"],
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
                    told: Mapping[str, str] = self.client.cancel(task.id, queue=task.queue or DEFAULT_QUEUE)
                    self.journal.write("cancel", phase="ok", id=name, word=told[task.id])
                elif draw < CANCELLED + RESCHEDULED:
                    self.journal.write("reschedule", phase="invoke", id=name)
                    delay = f"{random.randint(0, 1_000)}ms"
                    told = self.client.reschedule(task.id, queue=task.queue or DEFAULT_QUEUE, delay=delay)
                    self.journal.write("reschedule", phase="ok", id=name, word=told[task.id])
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
        return [
            answer.status
            for answer in made.client.enqueue_many(tasks, durability=cast(Durability | None, made.durability))
        ]

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


def server_ms(transport: Transport) -> int:
    """The server's clock."""

    def ask() -> Generator[Any, Any, int]:
        reply = yield ("TIME",)
        return int(reply[0]) * 1_000 + int(reply[1]) // 1_000

    return transport.steps("time", ask())
