"""How the conditions of a task are written: plain members, durations in whole ms. Each is checked on the way.

What the scripts read is checked by them once more (``lua/lib/conditions/schema.lua``): others write conditions, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import msgspec

from redsched.model.condition import (
    FACT,
    KEY,
    LONGEST_MS,
    MAX_FACTS,
    MAX_MEMBERS,
    MAX_MERGED,
    MAX_PARENTS,
    MAX_TESTS,
    MEMBERS,
    REF,
    SOONEST_AGAIN_MS,
    After,
    Again,
    Conditions,
    Digest,
    Ended,
    Fact,
    Hold,
    Mode,
    Release,
    Unique,
    WaitFor,
)
from redsched.model.duration import span_ms
from redsched.model.errors import InvalidTask
from redsched.model.refused import kind_and_length

COMPARISONS = ("exists", "equals", "in", "less", "greater")


class _Reader:
    """Checks one member and names it where it cannot be used."""

    def __init__(self, index: int | None) -> None:
        self._index = index

    def wrong(self, member: str, problem: str) -> InvalidTask:
        return InvalidTask(f"conditions.{member}", problem, index=self._index)

    def span(self, member: str, value: Any, least: int = 1) -> int:
        try:
            found = span_ms(value)
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
        if unknown := value.keys() - {"fact", "field", *COMPARISONS}:
            raise reader.wrong(f"{member}.{min(map(str, unknown))}", "is not known")
        return {"exists": True, **value} if not value.keys() & set(COMPARISONS) else dict(value)

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
