"""Structures inside the body of a task: its retry policy, and the event that it expects."""

from __future__ import annotations

import msgspec

from redsched.model.condition import fact_name
from redsched.model.errors import InvalidTask
from redsched.model.retry import Explicit, Exponential, Fixed, RetryPolicy
from redsched.model.task import Task


class FixedBody(msgspec.Struct, tag_field="kind", tag="fixed", forbid_unknown_fields=True):
    """``{"kind": "fixed", "delay": "30s"}``."""

    delay: int | str

    def policy(self) -> RetryPolicy:
        """As the model has it."""
        return Fixed(self.delay)


class ExponentialBody(msgspec.Struct, tag_field="kind", tag="exponential", forbid_unknown_fields=True):
    """``{"kind": "exponential", "base": "5s", "factor": 2, "max": "1h", "jitter": 0.2}``; these are the defaults."""

    base: int | str = 5_000
    factor: float = 2.0
    max: int | str = 3_600_000
    jitter: float = 0.2

    def policy(self) -> RetryPolicy:
        """As the model has it."""
        return Exponential(base=self.base, factor=self.factor, max=self.max, jitter=self.jitter)


class ListBody(msgspec.Struct, tag_field="kind", tag="list", forbid_unknown_fields=True):
    """``{"kind": "list", "delays": ["1s", "1m"]}``; the bare list means the same."""

    delays: list[int | str]

    def policy(self) -> RetryPolicy:
        """As the model has it."""
        return Explicit(self.delays)


class ExpectBody(msgspec.Struct, forbid_unknown_fields=True):
    """``{"event": "capture.confirmed", "subject": "order-42", "within": "15m"}``: the task runs where it does not
    come."""

    event: str
    within: int | str
    subject: str = ""

    def of(self, task: Task) -> Task:
        """The task, due then and cancelled by the event.

        Raises:
            InvalidTask: it has another due time.
        """
        if task.due is not None or task.delay is not None:
            raise InvalidTask("expect", "takes the place of due and delay")
        conditions = dict(task.conditions or {})  # type: ignore[arg-type]
        given = conditions.get("cancel_on") or []
        others = [given] if isinstance(given, str) else list(given)
        conditions["cancel_on"] = [fact_name(self.event, self.subject), *others]
        return msgspec.structs.replace(task, delay=self.within, conditions=conditions)


RetryBody = FixedBody | ExponentialBody | ListBody | list[int | str] | str


def policy_of(given: RetryBody | None) -> RetryPolicy | list[int | str] | str | None:
    """The retry policy that a body asks for; one delay or a list of delays stays what it is."""
    return given if given is None or isinstance(given, list | str) else given.policy()
