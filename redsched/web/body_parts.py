"""Structures inside the body of a task: its retry policy, and the event that it expects."""

from __future__ import annotations

import msgspec

from redsched.model.condition import fact_name
from redsched.model.duration import span_of
from redsched.model.errors import InvalidTask
from redsched.model.retry import Explicit, Exponential, Fixed, RetryGiven, RetryPolicy
from redsched.model.task import Task


class FixedBody(msgspec.Struct, tag_field="kind", tag="fixed", forbid_unknown_fields=True):
    """``{"kind": "fixed", "delay": "30s"}``."""

    delay: int | str

    def policy(self) -> RetryPolicy:
        """As the model has it."""
        return Fixed(span_of(self.delay))


class ExponentialBody(msgspec.Struct, tag_field="kind", tag="exponential", forbid_unknown_fields=True):
    """``{"kind": "exponential", "base": "5s", "factor": 2, "max": "1h", "jitter": 0.2}``; these are the defaults."""

    base: int | str = 5_000
    factor: float = 2.0
    max: int | str = 3_600_000
    jitter: float = 0.2

    def policy(self) -> RetryPolicy:
        """As the model has it."""
        return Exponential(base=span_of(self.base), factor=self.factor, max=span_of(self.max), jitter=self.jitter)


class ListBody(msgspec.Struct, tag_field="kind", tag="list", forbid_unknown_fields=True):
    """``{"kind": "list", "delays": ["1s", "1m"]}``; the bare list means the same."""

    delays: list[int | str]

    def policy(self) -> RetryPolicy:
        """As the model has it."""
        return Explicit([span_of(one) for one in self.delays])


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
        return msgspec.structs.replace(task, delay=span_of(self.within), conditions=conditions)


RetryBody = FixedBody | ExponentialBody | ListBody | list[int | str] | str


def policy_of(given: RetryBody | None) -> RetryGiven:
    """The retry policy that a body asks for: a policy, one delay or a list of delays."""
    if isinstance(given, list):
        return [span_of(one) for one in given]
    return span_of(given) if given is None or isinstance(given, str) else given.policy()
