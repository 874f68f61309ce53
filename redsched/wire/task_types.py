"""Verbs of the types of tasks: what workers say of them, and what is known. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from redsched.model.duration import instant, is_digits
from redsched.model.errors import InvalidTask
from redsched.model.task import Task
from redsched.model.task_types import GivenDefaults, QueueDefaults, TypePage, TypeView
from redsched.wire.call import Call
from redsched.wire.codec import Word, check_name, stored_json, text_of
from redsched.wire.keys import CellKeys, QueueKeys
from redsched.wire.task_words import option_words

MOST_PUT = 50  # types that one call puts
MOST_SHOWN = 200  # and tells
MOST_SCHEMAS = 20  # with their schemas
MOST_PLACES = 100  # and of which it tells in which queue an id is
MOST_SCHEMA_BYTES = 65_536
NO_VERSION = "-"
# what holds for a task where nobody says anything else; a type that says the same has said nothing
_BUILT_IN = {"max_attempts": "5", "timeout_ms": "60000", "retention_ms": "3600000"}
DEFAULTS = {
    "max_attempts": "max_attempts", "retry": "retry", "timeout": "timeout_ms", "expires_in": "expires_at",
    "retention": "retention_ms", "key": "key",
}  # fmt: skip


class TypePut(msgspec.Struct, frozen=True):
    """What a worker says of a type: its defaults as the words of ``enqueue``, its schema as JSON, or nothing."""

    name: str
    queue: str
    defaults: tuple[str, ...] = ()
    schema: bytes = b""


class TypesPut(msgspec.Struct, frozen=True):
    """``ruling``: the version of the application that rules, "" without a live worker; ``words``: what became of each
    type, as lua/put_types.lua says."""

    ruling: str
    words: list[str]


def defaults_of(sample: Task) -> tuple[str, ...]:
    """The defaults of a type, as a task that says all of them has them: field, value, ... where they are not built in.

    Raises:
        InvalidTask: one cannot be used.
    """
    words = [text_of(word) if isinstance(word, bytes) else str(word) for word in option_words(sample, None)]
    found = zip(words[::2], words[1::2], strict=True)
    return tuple(
        word
        for name, value in found
        if name in DEFAULTS.values() and _BUILT_IN.get(name) != value
        for word in (name, value)
    )


def put_types(
    keys: CellKeys, app: str, version: str | None, worker: str, started: int, types: Sequence[TypePut] = ()
) -> Call[TypesPut]:
    """Say that a worker lives that started then (ms; 0: it ends), and put up to 50 types of its application."""
    words: list[Word] = [0, check_name("app", app), version or NO_VERSION, worker, started]
    for one in types:
        defaults = msgspec.json.encode(one.defaults) if one.defaults else b""
        words += (check_name("type", one.name), check_name("queue", one.queue), defaults, one.schema)

    def read(reply: list[Any]) -> TypesPut:
        return TypesPut(text_of(reply[0]), [text_of(word) for word in reply[1:]])

    return Call("put_types", (keys.types,), words, read)


def defaults(keys: QueueKeys, fields: GivenDefaults) -> Call[QueueDefaults]:
    """Set what a queue gives to its tasks; None takes a default back. Without fields nothing is written.

    Raises:
        InvalidTask: a field is none that may have a default, or has a value that cannot be used.
    """
    words: list[Word] = [0]
    for name, value in fields.items():
        if name not in DEFAULTS:
            raise InvalidTask(name, f"has no default; {', '.join(DEFAULTS)} may have one", code="unknown_field")
        if value is None:
            words += (DEFAULTS[name], "")
        else:
            words += option_words(msgspec.structs.replace(Task(type="-"), **{name: value}), None)

    def read(reply: list[Any]) -> QueueDefaults:
        return QueueDefaults(**_read([text_of(word) for word in reply]))

    return Call("defaults", (keys.due,), words, read)


def types(
    keys: CellKeys, names: Sequence[str] = (), *, cursor: str | None = None, limit: int = 100, schemas: bool = False
) -> Call[TypePage]:
    """The types of these names that are known, or a page of all by name; ``schemas``: with those of their payloads."""

    def read(reply: list[Any]) -> TypePage:
        items = [_view(words) for words in reply[1:] if words]
        return TypePage(items, items[-1].name if reply[0] == 1 and items else None)

    words: list[Word] = [0, cursor or "", limit, 1 if schemas else 0, *(check_name("type", name) for name in names)]
    return Call("types", (keys.types,), words, read)


def type_places(keys: CellKeys, ids: Sequence[tuple[str, str]]) -> Call[list[str | None]]:
    """In which of the queues of its type, former ones first, the task of each type and id is; None: in none. All in one
    round trip."""
    calls = []
    for at in range(0, len(ids), MOST_PLACES):
        words: list[Word] = [0, "", 0, 2]
        for pair in ids[at : at + MOST_PLACES]:
            words += pair
        calls.append(Call("types", (keys.types,), words, lambda reply: reply[1:]))

    def read(reply: Any) -> list[str | None]:
        parts = [reply] if len(calls) == 1 else reply
        return [text_of(word) or None for part in parts for word in part[1:]]

    return Call("types", calls[0].keys, calls[0].args, read, chain=tuple(calls[1:]))


def _view(words: Sequence[Any]) -> TypeView:
    """A type as somebody wrote it: what cannot be read is left out."""
    name, line, defaults, schema = map(text_of, words[:4])
    queue, app, version, started, *former = [*line.split(" "), "", "", "", ""]
    given = _decoded(defaults)
    left = zip(former[::2], former[1::2], strict=False) if is_digits(started) else ()
    return TypeView(
        name=name,
        queue=queue,
        app=app,
        version=None if version in ("", NO_VERSION) else version,
        put_by=instant(int(started)) if is_digits(started) and len(started) < 14 else None,
        live=words[4] == 1,
        former_queues={name: instant(int(at)) for name, at in left if is_digits(at) and len(at) < 14} or None,
        payload=_decoded(schema),
        **_read(given if isinstance(given, list) else []),
    )


def _read(words: Sequence[Any]) -> dict[str, Any]:
    """Defaults as the structures for people have them."""
    found = dict(zip(words[::2], words[1::2], strict=False))
    return {
        "max_attempts": _whole(found.get("max_attempts")),
        "retry": found.get("retry"),
        "timeout_ms": _whole(found.get("timeout_ms")),
        "expires_in_ms": _whole(str(found.get("expires_at", "")).removeprefix("+")),
        "retention_ms": _whole(found.get("retention_ms")),
        "key": found.get("key"),
    }


def _decoded(text: str) -> Any:
    try:
        return stored_json(text) if text else None
    except ValueError:
        return None


def _whole(text: Any) -> int | None:
    return int(text) if isinstance(text, str) and is_digits(text) and len(text) < 16 else None
