"""The demo's conditions: a reminder that a payment makes needless, one whose event came first, an event that does not
come, and many notices in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from redsched.demo.http import Api

QUEUE = "notifications"
Later = Callable[[float, Callable[[], None]], None]  # seconds from the story's beginning, what to do then


class Submit(Protocol):
    """Submits a task and remembers it."""

    def __call__(self, id: str, queue: str, type: str, payload: dict[str, Any], about: str, **options: Any) -> None:
        """The fields of the task, and what to say of it."""


class Decisions:
    """Submits; ``meant`` gets the ids of those that are not meant to complete, and how they are meant to end."""

    def __init__(self, api: Api, submit: Submit, say: Callable[..., None], meant: dict[str, str]) -> None:
        self._api = api
        self._submit = submit
        self._say = say
        self._meant = meant

    def begin(self, later: Later) -> None:
        """All of them; what comes after is handed to ``later``, with the seconds from the beginning."""
        self._unless(later)
        self._came_first()
        self._submit(
            "alert-order-3",
            QUEUE,
            "merchant.alert",
            {"order": "order-3"},
            "runs if no capture.confirmed in 1500ms",
            expect={"event": "capture.confirmed", "subject": "order-3", "within": "1500ms"},
        )
        for n in (1, 2, 3):
            about = "merged with others of merchant-7, 1 s after the last" if n == 1 else "joins it"
            conditions = {"digest": {"key": "merchant-7", "grace": "1s"}}
            payload = {"payout": f"po_{n}", "amount": f"{n}00.00 EUR"}
            self._submit(f"payout-{n}", QUEUE, "payouts.digest", payload, about, conditions=conditions)
            if n > 1:
                self._meant[f"payout-{n}"] = "skipped"

    def _unless(self, later: Later) -> None:
        id, fact = "reminder-order-1", "payment.captured:order-1"
        self._meant[id] = "skipped"
        self._submit(
            id,
            QUEUE,
            "reminder.send",
            {"payment": "order-1", "text": "Still open"},
            f"due in 1500ms, unless {fact}",
            delay="1500ms",
            conditions={"unless": fact},
        )
        later(0.8, lambda: self._emit("payment.captured", "order-1", {"amount": "12.50 EUR"}))
        self._explain(id, 1.8, later)

    def _came_first(self) -> None:
        id = "reminder-order-2"
        self._emit("payment.captured", "order-2", {"amount": "80.00 EUR"})
        self._meant[id] = "cancelled"
        self._submit(
            id,
            QUEUE,
            "reminder.send",
            {"payment": "order-2", "text": "Still open"},
            "its event came first: born cancelled",
            delay="2s",
            conditions={"cancel_on": "payment.captured:order-2"},
        )

    def _emit(self, event: str, subject: str, data: dict[str, Any]) -> None:
        self._say("emit", f"{subject}", f"{self._api.emit(event, subject, data)} {event}")

    def _explain(self, id: str, at: float, later: Later) -> None:
        """Tell at ``at``, or as soon afterwards as it is decided, why the task does not run."""

        def look() -> None:
            if self._api.state(id, QUEUE) == "scheduled":
                self._explain(id, at + 0.2, later)
            else:
                self._say("explain", id, self._api.explain(id, QUEUE))

        later(at, look)
