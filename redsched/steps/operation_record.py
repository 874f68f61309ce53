"""The record of a change of many tasks: what it says, and the words by which the same one is known again.

Times relative to now count from when the operation began, so that who takes it up looks for the same tasks.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from redsched.model.duration import instant
from redsched.model.errors import InvalidTask
from redsched.model.search import Search, Within
from redsched.model.vocabulary import MOST_OPERATED, OPERATION_GOES_ON
from redsched.wire import changes
from redsched.wire.codec import count_of
from redsched.wire.field_words import due_word

SILENT_MS = 60_000  # without a step for so long, nobody carries it out; as in lua/operate.lua


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A change of many tasks. ``total``: tasks that were found; ``done``: those that it has come to; ``changed``: those
    that it changed; ``answers``: how many had which answer; ``sample``: the first of them, ``<queue>/<id>``;
    ``left_out``: how many the search chooses that are in a state that the action is not for, by state.

    ``state``: ``finding``, then ``running``; then ``completed`` or ``aborted``. ``stopped`` (its process ended in
    order), ``failed`` (``error`` says why) and ``stale`` (no step for a minute, so its process is probably gone): the
    same call with its ``id`` goes on. ``planned``: a dry run, which changes nothing; ``states`` says how many are in
    which state, and ``answers`` how many would not be changed.

    ``search`` and ``arguments`` are as the operation keeps them: times in ms, those relative to now from
    ``started_at``. ``more``: there are more than one operation changes; repeat it with another id.
    """

    id: str
    action: str
    search: str
    state: str
    total: int = 0
    done: int = 0
    changed: int = 0
    answers: dict[str, int] = {}
    sample: list[str] = []
    states: dict[str, int] = {}
    left_out: dict[str, int] = {}
    arguments: dict[str, Any] = {}
    more: bool = False
    error: str | None = None
    started_at: datetime | None = None
    updated_at: datetime | None = None


def operation_of(operation_id: str, record: Mapping[str, str], now_ms: int) -> Operation | None:
    """What a record says at this time; None where there is none."""
    state = record.get("state")
    if not state:
        return None
    updated = count_of(record.get("updated_at") or "")
    if state in OPERATION_GOES_ON and now_ms - updated > SILENT_MS:
        state = "stale"
    return Operation(
        id=operation_id,
        action=record.get("action", ""),
        search=record.get("search", ""),
        state=state,
        total=count_of(record.get("total") or ""),
        done=count_of(record.get("done") or ""),
        changed=count_of(record.get("changed") or ""),
        answers=msgspec.json.decode(record.get("answers") or "{}", type=dict[str, int]),
        sample=msgspec.json.decode(record.get("sample") or "[]", type=list[str]),
        left_out=msgspec.json.decode(record.get("left_out") or "{}", type=dict[str, int]),
        arguments=msgspec.json.decode(record.get("arguments") or "{}", type=dict[str, Any]),
        more=record.get("more") == "1",
        error=record.get("error") or None,
        started_at=instant(count_of(record.get("started_at") or "")),
        updated_at=instant(updated),
    )


def fields_of(now: Operation) -> dict[str, Any]:
    """What is written of an operation with each step."""
    names = ("action", "search", "state", "total", "done", "changed", "answers", "sample", "left_out")
    fields: dict[str, Any] = {name: getattr(now, name) for name in names}
    return fields | {"arguments": text_of_arguments(now.arguments), "more": int(now.more)}


def kept_arguments(arguments: Mapping[str, Any], *, most: int, scan: bool) -> dict[str, Any]:
    """Arguments as an operation keeps them, durations and times in ms; raises InvalidTask."""
    found: dict[str, Any] = {}
    due, delay = arguments.get("due"), arguments.get("delay")
    if due is not None or delay is not None:
        word = due_word(due, delay)
        found["due_ms" if delay is None else "delay_ms"] = int(word)
    for name, value in arguments.items():
        if name == "by" and value is not None:
            found["by_ms"] = changes.shift_ms(value)
        elif name in ("add", "remove") and value is not None:
            if isinstance(value, str):
                raise InvalidTask(name, "must be a list of texts")
            found[name] = list(value)
        elif name not in ("due", "delay") and value is not None:
            found[name] = value
    if most != MOST_OPERATED:
        found["max"] = most
    if scan:
        found["scan"] = True
    return dict(sorted(found.items()))


def text_of_arguments(arguments: Mapping[str, Any]) -> str:
    """Arguments as their record has them; the same ones are always the same text."""
    return msgspec.json.encode(arguments, order="sorted").decode()


def text_of_search(where: Search) -> str:
    """A search as its words; times as they are on the wire."""
    words = [
        f"{name}:{value}"
        for name in ("id", "subject", "key", "type", "queue", "reason")
        if (value := getattr(where, name)) is not None
    ]
    words += [f"tag:{tag}" for tag in where.tags]
    if where.states:
        words.append(f"state:{','.join(where.states)}")
    for name in ("due", "created", "ended"):
        span = getattr(where, name)
        if span is not None:
            words.append(f"{name}:{span.since or ''}..{span.until or ''}")
    return shlex.join(words)


def resolved(where: Search, since_ms: int) -> Search:
    """The search with instants in place of times relative to now, which is ``since_ms``."""
    spans = {name: span for name in ("due", "created", "ended") if (span := getattr(where, name)) is not None}
    fixed = {name: Within(_fixed(span.since, since_ms), _fixed(span.until, since_ms)) for name, span in spans.items()}
    return msgspec.structs.replace(where, **fixed) if fixed else where


def _fixed(time: str | None, since_ms: int) -> str | None:
    return str(since_ms + int(time)) if time is not None and time[:1] in ("+", "-") else time
