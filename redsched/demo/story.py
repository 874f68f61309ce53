"""What the demo submits and when: the day of a payment gateway in some seconds, over HTTP.

Every task carries an id of its own, so that a call can be repeated and every id can be accounted for.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

from redsched.demo.decisions import Decisions
from redsched.demo.http import Api, HttpError
from redsched.demo.ledger import Ledger, Run, percentile
from redsched.demo.resp import Resp
from redsched.model.duration import duration_text
from redsched.settings import Settings
from redsched.wire.cells import Cell
from redsched.wire.keys import queue_keys

OTP, NOTIFICATIONS = "otp", "notifications"
RATE = 25  # one-time passwords a second in the steady stream
REMINDERS = 12
BROKEN_ATTEMPTS = 3
STATEMENT_EVERY = 3  # seconds
FINAL = frozenset(("completed", "dead", "cancelled", "expired", "skipped", "quarantine", "quarantined", "missing"))


class Say(Protocol):
    """Prints one step."""

    def __call__(self, verb: str, what: str, text: str, mood: str = "") -> None:
        """``mood`` is good, bad, quiet or nothing."""


class Story:
    """Submits, and remembers what was acknowledged and how each task is meant to end."""

    def __init__(self, settings: Settings, ledger: Ledger, say: Say, seconds: float) -> None:
        self.window = max(2.0, seconds - 2.0)  # everything is due within it
        self.queue_of: dict[str, str] = {}  # acknowledged id -> queue, in order
        self.meant: dict[str, str] = {}  # id -> how it is to end, of those that are not to complete
        self.unanswered = 0
        self._settings = settings
        self._ledger = ledger
        self._say = say
        self._api = self._connect()
        self._quiet: set[str] = set()  # ids of the stream: told as figures
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._began = 0.0
        self._told_at = 0.0
        self._over = threading.Event()
        self._stream = threading.Thread(target=self._submit_stream, name="stream", daemon=True)

    @property
    def acknowledged(self) -> list[str]:
        """Every id that was acknowledged."""
        return list(self.queue_of)

    def begin(self) -> None:
        """Submit what opens the story and start the steady stream."""
        self._began = self._told_at = time.monotonic()
        self._submit_otps()
        self._submit_reminders()
        self._submit_receipt()
        self._submit_to_bad_providers()
        self._submit_and_cancel()
        self._submit_raw()
        Decisions(self._api, self._submit, self._say, self.meant).begin(self._add)
        self._schedule_statements()
        self._preview()
        self._say("POST", "otp-s...", f"and from now on {RATE} one-time passwords a second, one call each")
        self._stream.start()

    def step(self) -> bool:
        """Tell what has run since, do what is due in the story; False when it is over."""
        now = time.monotonic() - self._began
        for run in self._ledger.read():
            self._tell(run)
        for at, act in [entry for entry in self._later if entry[0] <= now]:
            self._later.remove((at, act))
            act()
        if now - (self._told_at - self._began) >= 3.0:
            self._told_at = time.monotonic()
            self._tell_stream()
        return now < self.window or self._stream.is_alive()

    def end(self) -> None:
        """Stop the stream."""
        self._over.set()
        if self._stream.ident is not None:
            self._stream.join()
        self._api.close()

    def look(self, ids: list[str], states: dict[str, str]) -> list[str]:
        """Read each task's state over HTTP into ``states``; the ids that have not ended yet."""
        for id in ids:
            states[id] = self._api.state(id, self.queue_of[id])
        return [id for id in ids if states[id] not in FINAL]

    def _add(self, at: float, act: Callable[[], None]) -> None:
        self._later.append((min(at, self.window - 0.1), act))

    def _connect(self) -> Api:
        return Api(self._settings.api_host, self._settings.api_port, self._settings.api_token)

    def _submit(self, id: str, queue: str, type: str, payload: dict[str, Any], about: str, **options: Any) -> None:
        status = self._api.submit({"id": id, "queue": queue, "type": type, "payload": payload, **options})
        self.queue_of[id] = queue
        self._say("POST", id, f"{status} {type}: {about}")

    def _submit_otps(self) -> None:
        for n in (1, 2, 3, 1):
            repeated = f"otp-{n}" in self.queue_of
            about = "the same id once more adds nothing" if repeated else "due now, worthless after 2 minutes"
            payload = {"phone": f"+49 151 000{n}", "code": f"{n}73{n}19"}
            self._submit(f"otp-{n}", OTP, "otp.send", payload, about, expires_in="2m")

    def _submit_reminders(self) -> None:
        first, last = min(1.5, self.window / 2), self.window - 0.5
        delays = [round(1_000 * (first + (last - first) * n / (REMINDERS - 1))) for n in range(REMINDERS)]
        tasks = [
            {
                "id": f"reminder-{n}",
                "queue": NOTIFICATIONS,
                "type": "reminder.send",
                "delay": delay,
                "payload": {"payment": f"pay_{n}", "text": "Your payment is still open"},
            }
            for n, delay in enumerate(delays, 1)
        ]
        for id in self._api.submit_batch(tasks):
            self.queue_of[id] = NOTIFICATIONS
        self._say(
            "POST",
            f"reminder-1...{REMINDERS}",
            f"200 reminder.send: {REMINDERS} in one call, due in "
            f"{duration_text(delays[0])} to {duration_text(delays[-1])}",
        )

    def _submit_receipt(self) -> None:
        due = datetime.now().astimezone().replace(microsecond=0) + timedelta(seconds=max(2, int(self.window / 2)))
        self._submit(
            "receipt-1",
            NOTIFICATIONS,
            "receipt.mail",
            {"payment": "pay_1", "amount": "12.50 EUR"},
            f"due at {due.isoformat()}",
            due=due.isoformat(),
        )

    def _submit_to_bad_providers(self) -> None:
        self._submit(
            "sms-flaky",
            NOTIFICATIONS,
            "sms.flaky",
            {"phone": "+49 151 0007"},
            "the provider fails twice; retries after 300ms, 600ms",
            retry=["300ms", "600ms"],
        )
        self.meant["sms-broken"] = "dead"
        self._submit(
            "sms-broken",
            NOTIFICATIONS,
            "sms.broken",
            {"phone": "+49 151 0008"},
            f"the provider always fails; {BROKEN_ATTEMPTS} attempts",
            max_attempts=BROKEN_ATTEMPTS,
            retry={"kind": "fixed", "delay": "300ms"},
        )

    def _submit_and_cancel(self) -> None:
        delay = round(1_000 * (self.window - 0.5))
        self.meant["reminder-paid"] = "cancelled"
        self._submit(
            "reminder-paid",
            NOTIFICATIONS,
            "reminder.send",
            {"payment": "pay_9", "text": "Still open"},
            f"due in {duration_text(delay)}",
            delay=delay,
        )

        def cancel() -> None:
            status = self._api.cancel("reminder-paid", NOTIFICATIONS, "paid")
            self._say("cancel", "reminder-paid", f"{status} the customer has paid: no reminder")

        self._later.append((min(2.2, self.window / 2), cancel))

    def _submit_raw(self) -> None:
        """What lua/README.md promises to every language: the hash, then the due time."""
        id, keys = "raw-1", queue_keys(Cell(self._settings.namespace), NOTIFICATIONS)
        payload = json.dumps({"payment": "pay_raw", "text": "Sent without a client library"})
        with Resp(self._settings.redis_url) as redis:
            seconds, microseconds = cast(list[str], redis.call("TIME"))
            due = int(seconds) * 1_000 + int(microseconds) // 1_000 + 1_000
            redis.call("MULTI")
            redis.call("HSET", keys.task(id), "type", "reminder.send", "payload", payload)
            redis.call("ZADD", keys.due, "NX", str(due), id)
            redis.call("EXEC")
        self.queue_of[id] = NOTIFICATIONS
        self._say("redis", id, f"HSET {keys.task(id)} type reminder.send payload {{...}}")
        self._say("", "", f"ZADD {keys.due} NX {due} {id}   (a plain socket, no library; due in 1s)")

    def _schedule_statements(self) -> None:
        """A schedule of as many runs as the story has time for, whatever the clocks say."""
        every = STATEMENT_EVERY if self.window > 2 * STATEMENT_EVERY else 1
        last = self.window - 0.3
        status = self._api.put_schedule(
            "statement",
            {
                "every": f"{every}s",
                "max_runs": int((self.window - 0.8) / every),
                "overlap": "allow_all",
                "task": {"type": "statement.mail", "queue": NOTIFICATIONS, "payload": {"account": "acc_1"}},
            },
        )
        self._say("PUT", "statement", f"{status} a schedule: statement.mail every {every} s")

        def collect(at: float) -> None:
            for id in self._api.runs("statement"):
                self.queue_of[id] = NOTIFICATIONS
            if at < last:
                following = min(last, at + 4 * every)  # a schedule remembers its last ten runs
                self._later.append((following, lambda: collect(following)))

        self._later.append((0.0, lambda: collect(0.0)))

    def _preview(self) -> None:
        runs = self._api.preview({"cron": "0 9 LW * *", "time_zone": "Asia/Kolkata", "count": 3})
        self._say("preview", "0 9 LW * *", f"09:00 on the last working day, Asia/Kolkata: {', '.join(runs)}")

    def _submit_stream(self) -> None:
        api = self._connect()
        began, n = time.monotonic(), 0
        while not self._over.wait(max(0.0, began + n / RATE - time.monotonic())):
            if time.monotonic() - self._began >= self.window - 0.3:
                break
            n += 1
            id = f"otp-s{n}"
            self._quiet.add(id)
            try:
                api.submit(
                    {
                        "id": id,
                        "queue": OTP,
                        "type": "otp.send",
                        "expires_in": "2m",
                        "payload": {"phone": f"+49 151 1{n:04}", "code": f"{n * 7919 % 1_000_000:06}"},
                    }
                )
            except (HttpError, OSError):
                self.unanswered += 1  # not acknowledged: nothing was promised
            else:
                self.queue_of[id] = OTP
        api.close()

    def _tell(self, run: Run) -> None:
        if run.id in self._quiet:
            return
        if run.outcome == "completed":
            ended, mood = "completed", "good"
        elif self.meant.get(run.id) == "dead" and run.attempt >= BROKEN_ATTEMPTS:
            ended, mood = "failed for the last time: dead", "bad"
        else:
            ended, mood = "failed, runs again", "bad"
        attempt = f" (attempt {run.attempt})" if run.attempt > 1 else ""
        late = f"started {run.lateness_ms:.1f} ms after its due time"
        self._say("run", run.id, f"{run.type}: {ended}{attempt}, {late}", mood)

    def _tell_stream(self) -> None:
        lateness = [run.lateness_ms for run in self._ledger.runs if run.id in self._quiet]
        self._say(
            "stream",
            "otp-s...",
            f"{len(lateness)} of {len(self._quiet)} sent, lateness p50 "
            f"{percentile(lateness, 50):.1f} ms p99 {percentile(lateness, 99):.1f} ms",
            "quiet",
        )
