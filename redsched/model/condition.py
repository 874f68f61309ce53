"""What a task may wait for, hang on, come after or be merged with: ``Conditions``.

Python values go in, ``wire_conditions`` makes of them what the scripts read: plain members, durations in whole ms. A
mapping with the same members does as well, so that JSON needs no other form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, get_args

import msgspec

from redsched.model.duration import duration_ms
from redsched.model.errors import InvalidTask
from redsched.model.refused import kind_and_length

Duration = timedelta | int | str
Mode = Literal["reject", "replace", "debounce", "keep_last"]
Release = Literal["start", "end", "ttl"]
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
_COMPARISONS = ("exists", "equals", "in", "less", "greater")


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
    otherwise: Literal["cancel", "skip", "run", "wait"] = "cancel"


class Conditions(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All that decides whether and when a task runs, beside its due time; judged by the server when it is due."""

    wait_for: WaitFor | str | Sequence[str] | Mapping[str, Any] | None = None
    unless: Test | None = None
    only_if: Test | None = None
    otherwise: Literal["skip"] | Again | Mapping[str, Any] | None = None
    cancel_on: str | Sequence[str] | None = None
    late: Mapping[str, Source] | None = None
    fifo: bool = False
    unique: Unique | str | Mapping[str, Any] | None = None
    digest: Digest | str | Mapping[str, Any] | None = None
    hold: Hold | Mapping[str, Any] | None = None
    after: After | str | Sequence[str] | Mapping[str, Any] | None = None


MEMBERS = frozenset(field.name for field in msgspec.structs.fields(Conditions))


class _Reader:
    """Checks one member and names it where it cannot be used."""

    def __init__(self, index: int | None) -> None:
        self._index = index

    def wrong(self, member: str, problem: str) -> InvalidTask:
        return InvalidTask(f"conditions.{member}", problem, index=self._index)

    def span(self, member: str, value: Any, least: int = 1) -> int:
        try:
            found = duration_ms(value)
        except ValueError as error:
            raise self.wrong(member, str(error)) from None
        if not least <= found <= LONGEST_MS:
            raise self.wrong(member, f"{found} ms is outside {least}..{LONGEST_MS} ms")
        return found

    def text(self, member: str, value: Any, form: re.Pattern[str], what: str) -> str:
        if not isinstance(value, str) or form.fullmatch(value) is None:
            raise self.wrong(member, f"{kind_and_length(value)} is no {what}")
        return value

    def choice(self, member: str, value: Any, known: Sequence[str]) -> str:
        if value not in known:
            raise self.wrong(member, f"{kind_and_length(value)} is not one of {', '.join(known)}")
        return str(value)

    def names(self, member: str, value: Any, form: re.Pattern[str], what: str, most: int) -> list[str]:
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, Sequence) or not 1 <= len(given) <= most:
            raise self.wrong(member, f"must be 1..{most} of them")
        return [self.text(member, one, form, what) for one in given]

    def members(self, member: str, value: Any, kind: type[msgspec.Struct]) -> dict[str, Any]:
        """What is set of a structure or of a mapping that stands for it."""
        fields = msgspec.structs.fields(kind)
        if isinstance(value, kind):
            found = msgspec.structs.asdict(value)
        elif isinstance(value, Mapping):
            if unknown := value.keys() - {field.name for field in fields}:
                raise self.wrong(f"{member}.{min(map(str, unknown))}", "is not known")
            found = dict(value)
        else:
            raise self.wrong(member, f"must be an object, not {kind_and_length(value)}")
        for field in fields:
            if field.required and field.name not in found:
                raise self.wrong(f"{member}.{field.name}", "is required")
        defaults = {field.name: field.default for field in fields}
        return {name: one for name, one in found.items() if one is not None and one != defaults[name]}


def wire_conditions(given: Conditions | Mapping[str, Any], index: int | None = None) -> dict[str, Any]:
    """The members as the scripts read them; ``index``: the task's place in a batch.

    Raises:
        InvalidTask: names the member; nothing was written.
    """
    reader = _Reader(index)
    found = msgspec.structs.asdict(given) if isinstance(given, Conditions) else dict(given)
    if unknown := found.keys() - MEMBERS:
        raise reader.wrong(min(map(str, unknown)), "is not known")
    made = {}
    for member, value in found.items():
        if value is not None and value is not False:
            made[member] = _MEMBERS[member](reader, value)
    tests = {member: _tests_in(made[member]) for member in ("unless", "only_if") if member in made}
    if sum(tests.values()) > MAX_TESTS:
        worst = max(tests, key=tests.__getitem__)
        raise reader.wrong(worst, f"unless and only_if have {sum(tests.values())} tests; at most {MAX_TESTS} are taken")
    if "fifo" in made and "digest" in made:
        raise reader.wrong("fifo", "does not go together with digest")
    return made


def _tests_in(test: Mapping[str, Any] | None) -> int:
    """How many comparisons there are in a test as the scripts read it."""
    if test is None:
        return 0
    parts = test.get("all") or test.get("any")
    return sum(map(_tests_in, parts)) if parts else 1


def _plain_fact(value: Any) -> Any:
    """The members of a fact that is given as such, as ``<name>`` or as ``<name>#<field>``."""
    if isinstance(value, str):
        name, _, field = value.partition("#")
        value = Fact(name, field or None)
    if isinstance(value, Fact):
        return {"fact": value.name, **({"field": value.field} if value.field else {}), **value.test}
    return value


def _facts(member: str) -> Callable[[_Reader, Any], Any]:
    return lambda reader, value: reader.names(member, value, FACT, "name of a fact", MAX_FACTS)


def _wait_for(reader: _Reader, value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, Sequence) and not isinstance(value, Mapping)):
        return {"all": _facts("wait_for")(reader, value)}
    found = reader.members("wait_for", value, WaitFor)
    if ("all" in found) == ("any" in found):
        raise reader.wrong("wait_for", "give all or any")
    for name in ("all", "any"):
        if name in found:
            found[name] = _facts(f"wait_for.{name}")(reader, found[name])
    if "within" in found:
        found["within"] = reader.span("wait_for.within", found["within"])
    if "then" in found:
        reader.choice("wait_for.then", found["then"], ("run", "expire"))
    return found


def _test(member: str) -> Callable[[_Reader, Any], Any]:
    def read(reader: _Reader, value: Any, depth: int = 4) -> Any:
        value = _plain_fact(value)
        if not isinstance(value, Mapping) or not depth:
            raise reader.wrong(member, "must be a test of a fact, or all or any of such; at most four deep")
        for name in ("all", "any"):
            if name in value:
                if len(value) > 1 or not isinstance(value[name], Sequence) or not 1 <= len(value[name]) <= MAX_TESTS:
                    raise reader.wrong(member, f"{name} stands alone and has 1..{MAX_TESTS} tests")
                return {name: [read(reader, one, depth - 1) for one in value[name]]}
        reader.text(f"{member}.fact", value.get("fact"), FACT, "name of a fact")
        if unknown := value.keys() - {"fact", "field", *_COMPARISONS}:
            raise reader.wrong(f"{member}.{min(map(str, unknown))}", "is not known")
        return {"exists": True, **value} if not value.keys() & set(_COMPARISONS) else dict(value)

    return read


def _otherwise(reader: _Reader, value: Any) -> Any:
    if isinstance(value, str):
        return reader.choice("otherwise", value, ("skip",))
    found = reader.members("otherwise", value, Again)
    least = {"again": SOONEST_AGAIN_MS}
    return {name: reader.span(f"otherwise.{name}", one, least.get(name, 1)) for name, one in found.items()}


def _late(reader: _Reader, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise reader.wrong("late", "must be an object: member of the payload -> fact")
    if len(value) > MAX_MEMBERS:
        raise reader.wrong("late", f"has {len(value)} members; at most {MAX_MEMBERS} are taken")
    made: dict[str, Any] = {}
    for name, given in value.items():
        source = _plain_fact(given)
        if not isinstance(source, Mapping) or source.keys() - {"fact", "field", "default"}:
            raise reader.wrong(f"late.{name}", "must be a fact, with field and default where they are wanted")
        reader.text(f"late.{name}.fact", source.get("fact"), FACT, "name of a fact")
        made[str(name)] = dict(source)
    return made


def _flag(reader: _Reader, value: Any) -> Any:
    if value is not True:
        raise reader.wrong("fifo", "must be true or false")
    return True


def _spans(reader: _Reader, member: str, found: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        if name in found:
            found[name] = reader.span(f"{member}.{name}", found[name])
    return found


def _unique(reader: _Reader, value: Any) -> Any:
    found = reader.members("unique", {"key": value} if isinstance(value, str) else value, Unique)
    reader.text("unique.key", found["key"], KEY, "key")
    reader.choice("unique.mode", found.get("mode", "reject"), get_args(Mode))
    reader.choice("unique.release", found.get("release", "end"), get_args(Release))
    if found.get("release") == "ttl" and "ttl" not in found:
        raise reader.wrong("unique.ttl", "is required where release is ttl")
    return _spans(reader, "unique", found, "ttl", "longest")


def _digest(reader: _Reader, value: Any) -> Any:
    found = reader.members("digest", {"key": value} if isinstance(value, str) else value, Digest)
    reader.text("digest.key", found["key"], KEY, "key")
    size = found.get("size", MAX_MERGED)
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MAX_MERGED:
        raise reader.wrong("digest.size", f"must be 1..{MAX_MERGED}")
    return _spans(reader, "digest", found, "grace", "longest")


def _hold(reader: _Reader, value: Any) -> Any:
    found = reader.members("hold", value, Hold)
    reader.text("hold.token", found["token"], KEY, "token")
    reader.choice("hold.then", found.get("then", "expire"), ("run", "expire"))
    return _spans(reader, "hold", found, "within")


def _after(reader: _Reader, value: Any) -> Any:
    plain = isinstance(value, str) or (isinstance(value, Sequence) and not isinstance(value, Mapping))
    found = reader.members("after", {"ids": value} if plain else value, After)
    found["ids"] = reader.names("after.ids", found["ids"], REF, "task", MAX_PARENTS)
    reader.choice("after.on", found.get("on", "success"), get_args(Ended))
    reader.choice("after.otherwise", found.get("otherwise", "cancel"), ("cancel", "skip", "run", "wait"))
    return found


_MEMBERS: dict[str, Callable[[_Reader, Any], Any]] = {
    "wait_for": _wait_for, "unless": _test("unless"), "only_if": _test("only_if"), "otherwise": _otherwise,
    "cancel_on": _facts("cancel_on"), "late": _late, "fifo": _flag, "unique": _unique, "digest": _digest,
    "hold": _hold, "after": _after,
}  # fmt: skip
