"""Whether anything moves: due tasks become ready, ended leases are taken back, ready tasks find a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from redsched.client import Client
from redsched.model.duration import duration_text
from redsched.model.errors import StoreBroken, StoreDenied, StoreError
from redsched.model.views import QueueStats
from redsched.observe.doctor import kept
from redsched.observe.doctor.report import SHOWN, Line, Progress
from redsched.steps import doctor as doctor_steps
from redsched.steps.doctor import Way
from redsched.wire import doctor, protocol
from redsched.wire.codec import pairs, text_of
from redsched.wire.keys import queue_keys
from redsched.wire.redis_errors import Refused

LATE_MS = 2_000  # due or past its lease for longer: nobody moves it
WAITING_MS = 30_000  # ready or due for longer: too few workers
LEFT_MS = 60_000  # on the agenda for longer than its time: nobody carries it out
ITEMS = 100  # of the agenda, looked at
UNHANDLED_MS = 120_000  # how far back a returned task counts
STEP = 0.15  # seconds between looks for a mover, which says so for a second at a time
EVENTS = 1_000  # looked at
A_TRIP = 500  # queues in one round trip
MOST_LINES = 100  # queues of which a line says that they are well


class Watch:
    """The oldest due id and the oldest lease of each queue and of the agenda's items, looked at twice; whether a mover
    said that it acts."""

    def __init__(self, client: Client, queues: Sequence[str]) -> None:
        self._client = client
        self._keys = [queue_keys(client.cell, queue) for queue in queues]
        self.moved = False
        self.now = 0
        self.late: dict[tuple[str, str], tuple[bytes, float]] = {}  # queue, due | running -> the same id both times
        self.left: dict[str, float] = {}  # item of the agenda, there both times -> since when, ms; 0: not known
        self._looks = 0

    def look(self) -> None:
        """Note the oldest of each."""
        commands: list[tuple[Any, ...]] = [("TIME",), ("EXISTS", self._client.cell_keys.mover)]
        commands.append(("ZRANGE", self._client.cell_keys.agenda, 0, ITEMS - 1, "WITHSCORES"))
        replies = self._client.converse("doctor", doctor_steps.ask(*commands))
        oldest = (100_000_000_000, "+inf", "BYSCORE", "LIMIT", 0, 1, "WITHSCORES")
        for at in range(0, len(self._keys), A_TRIP):
            commands = []
            for keys in self._keys[at : at + A_TRIP]:
                commands += [("ZRANGE", keys.due, *oldest), ("ZRANGE", keys.index("running"), *oldest)]
            replies += self._client.converse("doctor", doctor_steps.ask(*commands))
        if not isinstance(replies[0], Refused):
            self.now = int(replies[0][0]) * 1_000 + int(replies[0][1]) // 1_000
        self.moved = self.moved or replies[1] == 1
        found: dict[tuple[str, str], tuple[bytes, float]] = {}
        for at, keys in enumerate(self._keys):
            for place, reply in zip(("due", "running"), replies[3 + 2 * at : 5 + 2 * at], strict=True):
                if not isinstance(reply, Refused) and reply and float(reply[1]) <= self.now - LATE_MS:
                    found[keys.queue, place] = (reply[0], float(reply[1]))
        self._look_at_agenda(replies[2])
        self._looks += 1
        same = {key: oldest for key, oldest in found.items() if self.late.get(key) == oldest}
        self.late = found if self._looks == 1 else same

    def _look_at_agenda(self, reply: Any) -> None:
        found = {}
        if not isinstance(reply, Refused):
            for at in range(0, len(reply), 2):
                item, score = text_of(reply[at]), float(reply[at + 1])
                if score <= self.now - LEFT_MS and (self._looks == 0 or item in self.left):
                    found[item] = score if score > 100_000_000_000 else 0.0
        self.left = found

    def rest(self, pause: float, sleep: Callable[[float], None]) -> None:
        """Pass the time, looking for a mover."""
        left = pause
        while left > 0:
            sleep(min(STEP, left))
            left -= STEP
            if not self.moved:
                (there,) = self._client.converse("doctor", doctor_steps.ask(("EXISTS", self._client.cell_keys.mover)))
                self.moved = there == 1


def lines(
    client: Client, way: Way, watch: Watch, queues: Sequence[str], tell: Callable[[str], None] = lambda _: None
) -> list[Line]:
    """One line a queue, and what waits for what is not there."""
    found: list[Line] = []
    stats = _stats(client, way, queues, Progress(tell))
    waiting = sum(queue.scheduled + queue.running for queue in stats)
    if watch.moved:
        found.append(Line("OK", "mover", "one is acting"))
    elif waiting:
        found.append(
            Line(
                "FAIL" if watch.late else "WARN",
                "mover",
                "none is acting",
                "due tasks do not become ready, lost ones are not taken back",
                "redsched mover (a worker contains one)",
            )
        )
    for (queue, place), (task_id, score) in watch.late.items():
        age = duration_text(watch.now - score)
        what = f"has been due for {age}" if place == "due" else f"ran out of its lease {age} ago"
        what = f"{text_of(task_id)!r} {what}"
        why = "the mover is behind, or stuck" if watch.moved else "no mover is acting"
        found.append(Line("FAIL", f"queue {queue}: late", what, why, "redsched mover; redsched task show ID"))
    if watch.left:
        found.append(_left_line(watch))
    told = [_queue_line(depths) for depths in stats]
    well = [line for line in told if line.level == "OK"]
    found += [line for line in told if line.level != "OK" or len(well) <= MOST_LINES]
    if len(well) > MOST_LINES:
        found.append(Line("OK", "other queues", f"{len(well):,} are well"))
    for depths in stats:
        if depths.quarantined:
            found.append(
                Line(
                    "WARN",
                    f"queue {depths.queue}: quarantine",
                    f"{depths.quarantined} ids were set aside",
                    "they name no task that can be read",
                    f"redsched task ls -q {depths.queue} --state quarantined",
                )
            )
        if depths.dead:
            found.append(
                Line(
                    "WARN",
                    f"queue {depths.queue}: dead",
                    f"{depths.dead} dead letters",
                    "they run again only when revived",
                    f"redsched task ls -q {depths.queue} --state dead; redsched task revive -q {depths.queue} ID",
                )
            )
    return found + kept.lines(client, stats, watch.now) + _unhandled(client, watch, set(queues))


def _left_line(watch: Watch) -> Line:
    oldest = min((since for since in watch.left.values() if since), default=0.0)
    age = f", the oldest for {duration_text(watch.now - oldest)}" if oldest else ""
    names = ", ".join(repr(item) for item in sorted(watch.left)[:SHOWN])
    more = f" and {len(watch.left) - SHOWN} more" if len(watch.left) > SHOWN else ""
    why = "the movers that run may not write these queues, or are behind" if watch.moved else "no mover is acting"
    return Line(
        "WARN",
        "agenda",
        f"{len(watch.left)} items wait to be carried out{age}: {names}{more}",
        why,
        "redsched mover, with a user that may write their queues (redsched acl print)",
    )


def _stats(client: Client, way: Way, queues: Sequence[str], progress: Progress) -> list[QueueStats]:
    found: list[QueueStats] = []
    for at in range(0, len(queues), doctor.PAGE):
        progress.tell(f"the state of {at:,} of {len(queues):,} queues")
        page = queues[at : at + doctor.PAGE]
        try:
            call = protocol.stats([queue_keys(client.cell, queue) for queue in page])
            answer: list[QueueStats] = client.converse("stats", doctor_steps.read_only(way, call))
            found += answer
        except StoreError as error:
            if not isinstance(error, StoreBroken | StoreDenied):  # both are told elsewhere
                raise
            for queue in page if len(page) > 1 else ():
                found += _stats(client, way, [queue], progress)
    return found


def _queue_line(queue: QueueStats) -> Line:
    age = queue.oldest_due_age_ms
    held = f"{queue.scheduled} scheduled, {queue.ready} ready, {queue.running} running, {queue.dead} dead"
    if age is not None and age > WAITING_MS:
        return Line(
            "WARN",
            f"queue {queue.queue}",
            f"{held}; the oldest due task has waited for {duration_text(age)}",
            "workers are too few, too slow or none",
            f"redsched worker APP -q {queue.queue}",
        )
    waits = "" if age is None else f"; the oldest due for {duration_text(age)}"
    return Line("OK", f"queue {queue.queue}", held + waits)


def _unhandled(client: Client, watch: Watch, queues: set[str]) -> list[Line]:
    """Types that workers gave back lately because none has a handler."""
    (reply,) = client.converse(
        "doctor", doctor_steps.ask(("XREVRANGE", client.cell_keys.events, "+", "-", "COUNT", EVENTS))
    )
    if isinstance(reply, Refused):
        return []
    ids: dict[tuple[str, str], None] = {}
    for at, words in reply:
        event = pairs(words or ())
        name, queue = text_of(event.get("event", b"")), text_of(event.get("queue", b""))
        if name == "unhandled" and queue in queues and int(text_of(at).partition("-")[0]) > watch.now - UNHANDLED_MS:
            ids[queue, text_of(event.get("id", b""))] = None
    if not ids:
        return []
    keys = [queue_keys(client.cell, queue).task(task_id) for queue, task_id in ids]
    commands = [("HMGET", key, "state", "type", "unhandled") for key in keys]
    replies = client.converse("doctor", doctor_steps.ask(*commands))
    waiting: Counter[tuple[str, str]] = Counter()
    for (queue, _), fields in zip(ids, replies, strict=True):
        if not isinstance(fields, Refused) and fields[2] and text_of(fields[0] or b"") in ("scheduled", "ready"):
            waiting[queue, text_of(fields[1] or b"")] += 1
    return [
        Line(
            "WARN",
            f"queue {queue}: unhandled",
            f"no worker has a handler for type {type_!r}: at least {n} wait",
            "they are tried again every 5 to 60 s",
            f"start a worker whose app has {type_!r}, or cancel them",
        )
        for (queue, type_), n in waiting.items()
    ]
