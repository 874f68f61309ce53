"""What a task may wait for, hang on, come after or be merged with: ``Conditions``.

Wherever a task takes them, a mapping with the same members does as well, so that JSON needs no other form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import msgspec

from redsched.model.duration import span_of
from redsched.model.errors import InvalidTask

Duration = timedelta | str
Mode = Literal["reject", "replace", "debounce", "keep_last"]
Release = Literal["start", "end", "ttl"]
Otherwise = Literal["cancel", "skip", "run", "wait"]
Ended = Literal["success", "failure", "either"]
MAX_PARENTS = 500  # named by one task when it is submitted; more come by ``follow``
MAX_FACTS = 16
MAX_MERGED = 1_000
MAX_TESTS = 32  # comparisons in unless and only_if together
MAX_MEMBERS = 32  # of a payload that facts (late) or events (bind) fill in
SOONEST_AGAIN_MS = 1_000
LONGEST_MS = 31_536_000_000
FACT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:-]{0,255}", re.ASCII)
KEY = re.compile(r"[!-~]{1,128}")
REF = re.compile(r"([A-Za-z0-9][A-Za-z0-9._@+-]{0,99}/)?[A-Za-z0-9][A-Za-z0-9._@+:-]{0,127}", re.ASCII)


class Fact(msgspec.Struct, frozen=True):
    """A test of one fact, ``<event>:<subject>`` or any name; ``field`` is a member of its JSON object, ``a.b`` of a
    nested one, or a field of a hash. Without a comparison it is whether the fact is there."""

    name: str
    field: str | None = None
    test: Mapping[str, Any] = {}

    def _with(self, **test: Any) -> Fact:
        return Fact(self.name, self.field, {**self.test, **test})

    def exists(self) -> Fact:
        """It is there."""
        return self._with(exists=True)

    def absent(self) -> Fact:
        """It is not there."""
        return self._with(exists=False)

    def equals(self, value: Any) -> Fact:
        """It is that text, number or boolean."""
        return self._with(equals=value)

    def is_in(self, values: Sequence[Any]) -> Fact:
        """It is one of 1..64."""
        return self._with(**{"in": list(values)})

    def less(self, number: float) -> Fact:
        """It is a number below that."""
        return self._with(less=number)

    def greater(self, number: float) -> Fact:
        """It is a number above that."""
        return self._with(greater=number)


Test = Fact | str | Mapping[str, Any]
Source = Fact | str | Mapping[str, Any]


def fact(name: str, subject: str | None = None, *, field: str | None = None) -> Fact:
    """A fact by its name, or that of an event about a subject: ``fact("payment.captured", "order-42")``."""
    return Fact(name if subject is None else fact_name(name, subject), field)


def fact_name(event: str, subject: str = "") -> str:
    """What the fact of an event is called."""
    return f"{event}:{subject}" if subject else event


def all_of(*tests: Test) -> Mapping[str, Any]:
    """A test that holds where all of 1..32 do."""
    return {"all": list(tests)}


def any_of(*tests: Test) -> Mapping[str, Any]:
    """A test that holds where one of 1..32 does."""
    return {"any": list(tests)}


class WaitFor(msgspec.Struct, frozen=True, kw_only=True):
    """Held until ``all`` or ``any`` of the facts are there; after ``within`` from its submission it runs or expires."""

    all: Sequence[str] = ()
    any: Sequence[str] = ()
    within: Duration | None = None
    then: Literal["run", "expire"] = "expire"


class Again(msgspec.Struct, frozen=True):
    """In place of a skip: look again after so long, a second at least, and skip when that did not help ``within`` its
    due time (a day)."""

    again: Duration
    within: Duration | None = None


class Unique(msgspec.Struct, frozen=True, kw_only=True):
    """One task of ``key`` at a time in its queue.

    A second one is rejected; replaces the first, which is cancelled; debounces it (replaces it, and starts no later
    than ``longest`` after the first of the series); or ``keep_last``: while the first runs, the latest of those that
    came waits for its end. ``release``: the first counts until it starts, until it ends, or for ``ttl`` (a throttle).
    """

    key: str
    mode: Mode = "reject"
    release: Release = "end"
    ttl: Duration | None = None
    longest: Duration | None = None


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """Merged with others of ``key`` into one task, whose payload is ``{"items": [payload, ...]}``: it runs ``grace``
    after the last, at most ``longest`` after the first, or when it has ``size``. Until it starts, what ends one of them
    takes its payload out; where the first ends, the next takes its place."""

    key: str
    grace: Duration = "1m"
    longest: Duration | None = None
    size: int = MAX_MERGED


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Held until it is confirmed with ``token``; after ``within`` it expires, or runs."""

    token: str
    within: Duration = "30s"
    then: Literal["run", "expire"] = "expire"


class After(msgspec.Struct, frozen=True, kw_only=True):
    """Held until the tasks ``ids`` (``<id>``, ``<queue>/<id>``) have ended.

    ``on``: it runs when all completed, when at least one failed, or either way. ``otherwise``: what becomes of it when
    one failed that had to complete: cancelled, skipped, run all the same, or it waits for the failed one's revival.
    """

    ids: Sequence[str]
    on: Ended = "success"
    otherwise: Otherwise = "cancel"


class Conditions(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All that decides whether and when a task runs, beside its due time; judged by the server when it is due."""

    wait_for: WaitFor | str | Sequence[str] | Mapping[str, Any] | None = None
    """The facts that it is held for: one, all of several, or as ``WaitFor`` says."""
    unless: Test | None = None
    """A test of facts that must not hold when it is due; where it holds, ``otherwise`` says what becomes of it."""
    only_if: Test | None = None
    """A test of facts that must hold when it is due; where it does not, ``otherwise`` says what becomes of it."""
    otherwise: Literal["skip"] | Again | Mapping[str, Any] | None = None
    """What becomes of it where ``unless`` or ``only_if`` says no: it is skipped, or looked at ``Again``."""
    cancel_on: str | Sequence[str] | None = None
    """The facts each of which cancels it while it has not started, and asks it to stop while it runs."""
    late: Mapping[str, Source] | None = None
    """Members of the payload that are filled in from facts when it is due."""
    fifo: bool = False
    """Whether tasks with its ``key`` run one at a time, in the order of their submission."""
    unique: Unique | str | Mapping[str, Any] | None = None
    """A key that one task of the queue has at a time, and what becomes of a second one."""
    digest: Digest | str | Mapping[str, Any] | None = None
    """A key whose tasks are merged into one."""
    hold: Hold | Mapping[str, Any] | None = None
    """It is held until it is confirmed; ``client.hold`` sets this."""
    after: After | str | Sequence[str] | Mapping[str, Any] | None = None
    """The tasks that have to end before it runs; ``client.chain`` and ``client.group`` set this."""


MEMBERS = frozenset(field.name for field in msgspec.structs.fields(Conditions))


_SPANS = {"wait_for": ("within",), "otherwise": ("again", "within"), "unique": ("ttl", "longest"),
          "digest": ("grace", "longest"), "hold": ("within",)}  # fmt: skip


def of_json(given: Any) -> Any:
    """Conditions of JSON, where a bare number means milliseconds, as Python code gives them; what is none stays."""
    if not isinstance(given, Mapping):
        return given
    found = dict(given)
    for member, names in _SPANS.items():
        if isinstance(one := found.get(member), Mapping):
            found[member] = {name: span_of(value) if name in names else value for name, value in one.items()}
    return found


def gather(task: Any) -> None:
    """Move the members of ``Conditions`` that a new task was given into its ``conditions``.

    Raises:
        InvalidTask: it has ``conditions`` as well.
    """
    found = {name: getattr(task, name) for name in MEMBERS}
    given = {name: value for name, value in found.items() if value is not None and (value or name != "fifo")}
    if task.conditions is not None:
        raise InvalidTask("conditions", f"has to say {min(given)} too; give conditions or its members, not both")
    for name in given:
        setattr(task, name, False if name == "fifo" else None)
    task.conditions = Conditions(**given)
