"""The producer of the campaign of conditions: writes down each call before it leaves and after it was answered, and
repeats it until then. What it submits is in the stories (``condition_stories``), each a few tasks with what happens
around them.
"""

from __future__ import annotations

import heapq
import random
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from redsched import Client, Task
from redsched.model.enqueued import STORED, Enqueued
from redsched.model.errors import InvalidTask, RedschedError, WorkflowIncomplete
from redsched.torture.history import Journal
from redsched.torture.plan import Plan
from redsched.wire.ids import nonce
from tests.campaign.condition_app import KIND
from tests.campaign.condition_ledger import Wish, line

LAST_S = 8.0  # after SIGTERM, for what was begun
PAUSE_S = 0.03  # between repeats
Send = Callable[[list[Task]], Sequence[Enqueued]]


class Producer:
    """Tells stories until SIGTERM, and then those that it has begun to their end."""

    def __init__(self, name: str, plan: Plan) -> None:
        self.name, self.plan = name, plan
        self.journal = Journal(plan.folder, name)
        quick = msgspec.structs.replace(plan.settings, retry_for_ms=0)  # each repeat is one of ours, in the ledger
        self.client = Client(settings=quick, name=plan.client_name)
        self.chance = random.Random()
        self.numbers = 0
        self.over_at = 0.0
        self._acts: list[tuple[float, int, Callable[[], None]]] = []
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_: object) -> None:
        self.over_at = self.over_at or time.monotonic() + LAST_S

    def later(self, seconds: float, act: Callable[..., None], *words: Any, **named: Any) -> None:
        """Do it so many seconds from now."""
        self.numbers += 1
        heapq.heappush(self._acts, (time.monotonic() + seconds, self.numbers, partial(act, *words, **named)))

    def run(self, tell_one: Callable[[Producer], int]) -> None:
        """Begin stories at the plan's rate of tasks; ``tell_one`` answers how many tasks the next one has."""
        begin_at = time.monotonic()
        while not self.over_at or (self._acts and time.monotonic() < self.over_at):
            now = time.monotonic()
            if self._acts and self._acts[0][0] <= now:
                heapq.heappop(self._acts)[2]()
            elif not self.over_at and now >= begin_at:
                begin_at = max(begin_at, now - 2.0) + tell_one(self) / self.plan.rate
            else:
                time.sleep(0.002)
        self.client.close()

    def number(self) -> int:
        """A fresh one."""
        self.numbers += 1
        return self.numbers

    def task(self, wish: Wish, payload: dict[str, Any] | None = None, **options: Any) -> tuple[Task, Wish]:
        """One task and what is wished of it; what the wish does not say is drawn."""
        wish.queue = wish.queue or self.chance.choice(self.plan.settings.queues)
        task_id = options.pop("id", None) or f"{wish.queue}:{self.name}:{self.number()}"
        if wish.retention_ms >= 0:
            options["retention"] = f"{wish.retention_ms}ms"
        if wish.due_ms:
            options["due"] = wish.due_ms
        elif wish.delay_ms:
            options["delay"] = f"{wish.delay_ms}ms"
        options.setdefault("type", KIND)
        options.setdefault("retry", [self.chance.choice(("0s", "0s", "100ms", "2500ms"))])
        made = Task(
            queue=wish.queue,
            id=task_id,
            payload={"tag": task_id, **(payload or {})},
            max_attempts=wish.attempts,
            **options,
        )
        return made, wish

    def submit(self, told: Sequence[tuple[Task, Wish]], send: Send | None = None) -> None:
        """Until there is a definite answer for each."""
        tasks, durability = [task for task, _ in told], None
        if self.plan.durability and send is None:
            durability = self.chance.choice(self.plan.durability)
        for _, wish in told:
            wish.lasting = durability is not None and durability != "memory"
        self.journal.write_all([line("submit", phase="invoke", id=task.id or "", wish=wish) for task, wish in told])
        sends = 0
        while True:
            sends, sent = sends + 1, time.monotonic()
            try:
                if send is None:
                    answers: Sequence[Enqueued] = self.client.enqueue_many(tasks, durability=durability)
                else:
                    answers = send(tasks)
                break
            except WorkflowIncomplete as incomplete:
                answers = [*incomplete.missing, *incomplete.made]
                break
            except InvalidTask as refused:
                self.journal.write_all(
                    [
                        line(
                            "submit",
                            phase="fail",
                            word="refused",
                            id=task.id or "",
                            attempt=sends,
                            more={"why": str(refused)[:200]},
                        )
                        for task in tasks
                    ]
                )
                return
            except RedschedError as error:
                self.journal.write_all([line("submit", phase="info", word=type(error).__name__)])
                if self._hopeless():
                    return
                time.sleep(PAUSE_S)
        self.journal.write_all(
            [
                line(
                    "submit",
                    phase="ok" if answer.status in STORED else "fail",
                    word=answer.status,
                    id=answer.id,
                    sent=sent,
                    attempt=sends,
                    token=answer.other or "",
                    asked=durability or "",
                )
                for answer in answers
            ]
        )

    def act(self, op: str, name: str, call: Callable[[], Any], **more: Any) -> None:
        """A call about one thing, until it has an answer."""
        token = nonce()
        self.journal.write_all([line(op, phase="invoke", id=name, token=token, more=more)])
        while True:
            try:
                word = call()
                break
            except RedschedError as error:
                self.journal.write_all([line(op, phase="info", id=name, word=type(error).__name__)])
                if self._hopeless():
                    return
                time.sleep(PAUSE_S)
        self.journal.write_all([line(op, phase="ok", id=name, token=token, word=str(word))])

    def _hopeless(self) -> bool:
        return self.over_at > 0 and time.monotonic() > self.over_at + LAST_S

    # what stories do around their tasks

    def emit(self, subject: str, n: int = 0, event: str = "f") -> None:
        """An event; its fact is ``<event>:<subject>``."""
        made, fact = nonce(), f"{event}:{subject}"
        self.act(
            "emit",
            fact,
            lambda: self.client.emit(event, subject, {"n": n}, ttl="10m", id=made) and "emitted",
            n=n,
            event=made,
        )

    def cancel(self, task: Task) -> None:
        """Cancel one."""
        task_id = task.id or ""
        self.act("cancel", task_id, lambda: self.client.cancel(task_id, queue=task.queue)[task_id])

    def confirm(self, task: Task, token: str) -> None:
        """Let a held one go."""
        task_id = task.id or ""
        self.act("confirm", task_id, lambda: self.client.confirm(task_id, token, queue=task.queue)[task_id])

    def abandon(self, task: Task, token: str) -> None:
        """Cancel a held one."""
        task_id = task.id or ""
        self.act("abandon", task_id, lambda: self.client.abandon(task_id, token, queue=task.queue)[task_id])

    def pause(self, queue: str, key: str, seconds: float) -> None:
        """Pause a key and resume it later, or by itself should we be killed."""
        until = int(time.time() * 1_000) + 6_000
        self.act("pause", key, lambda: self.client.pause(queue, key=key, until=until), queue=queue, until=until)
        self.later(seconds, lambda: self.act("resume", key, lambda: self.client.resume(queue, key=key), queue=queue))
