"""Between Python values and the words of the wire: the only place where a task is checked and where a hash is read.

A value that cannot be written is an ``InvalidTask`` that names the field; nothing has been sent then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from redsched.model.condition import Conditions, wire_conditions
from redsched.model.duration import CONFUSED_MS, confused, duration_ms, instant, instant_ms, latest_ms
from redsched.model.enqueued import Enqueued
from redsched.model.errors import InvalidTask
from redsched.model.refused import kind_and_length
from redsched.model.retry import retry_wire
from redsched.model.task import MAX_TAGS, PRIORITIES, Attempt, Task, TaskView
from redsched.wire.json_checks import check_depth, check_value

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}", re.ASCII)
TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:-]{0,127}", re.ASCII)
TOKEN = re.compile(r"[\x21-\x7e]{1,128}")
LONGEST_MS = 31_536_000_000  # a year: delays, retention
MAX_HEADERS_BYTES = 65_536
MAX_TOGETHER = 2_097_152  # bytes of the payloads of one enqueue
MAX_REASON_BYTES = 200  # of a cancel or a pause: what Redis keeps

Word = str | bytes | int
_json = msgspec.json.Encoder()


def is_name(value: str) -> bool:
    """Whether a queue, a type or a schedule may be called so."""
    return len(value) <= 100 and _is_name(value)  # what is kept is short


@lru_cache(maxsize=4_096)
def _is_name(value: str) -> bool:
    return NAME.fullmatch(value) is not None


def check_together(size: int, index: int | None) -> int:
    """The bytes of the payloads of one enqueue so far: all of its tasks are made in one call, or none.

    Raises:
        InvalidTask: that of task ``index`` makes them too many.
    """
    if size > MAX_TOGETHER and index:
        problem = f"comes to more than {MAX_TOGETHER >> 20} MiB with the others of the call"
        raise InvalidTask("payload", problem, index=index, code="batch_too_large")
    return size


def check_name(field: str, value: Any, index: int | None = None) -> str:
    """The name; raises InvalidTask."""
    if not isinstance(value, str) or not is_name(value):
        raise InvalidTask(
            field,
            f"{kind_and_length(value)} is no name: 1 to 100 of [A-Za-z0-9._@+-], the first a letter or digit",
            index=index,
        )
    return value


def check_id(value: Any, index: int | None = None) -> str:
    """The task id; raises InvalidTask."""
    if not isinstance(value, str) or TASK_ID.fullmatch(value) is None:
        raise InvalidTask(
            "id",
            f"{kind_and_length(value)} is no id: 1 to 128 of [A-Za-z0-9._@+:-], the first a letter or digit",
            index=index,
        )
    return value


def due_word(due: Any, delay: Any, index: int | None = None) -> Word:
    """0 for now, ms since the epoch, or ``+ms`` that the server adds to its own clock; raises InvalidTask."""
    if delay is not None:
        if due is not None:
            raise InvalidTask("delay", "give due or delay, not both", index=index)
        return f"+{_checked('delay', _duration, delay, index)}"
    return 0 if due is None else int(_checked("due", _due, due, index))


def json_bytes(field: str, value: Any, most: int, index: int | None = None) -> bytes:
    """The value as JSON; raises InvalidTask where JSON cannot hold it or it is longer than ``most`` bytes."""
    try:
        text = _json.encode(value)
        if len(text) <= most:
            check_value(value, text)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidTask(field, f"cannot be written as JSON: {error}", index=index) from None
    if len(text) > most:
        raise InvalidTask(
            field, f"{len(text)} bytes of JSON; at most {most} are taken", index=index, code="payload_too_large"
        )
    return text


def option_words(task: Task, index: int | None) -> list[Word]:
    """Field, value, ... of everything but type, payload, queue, id and due time; defaults are left out."""
    words: list[Word] = []
    if task.priority != "normal":
        if task.priority not in PRIORITIES:
            raise InvalidTask("priority", f"{kind_and_length(task.priority)} is not high, normal or low", index=index)
        words += ("priority", task.priority)
    if task.max_attempts is not None:
        if isinstance(task.max_attempts, bool) or not isinstance(task.max_attempts, int):
            raise InvalidTask("max_attempts", f"{kind_and_length(task.max_attempts)} is no integer", index=index)
        if not 1 <= task.max_attempts <= 1_000:
            raise InvalidTask("max_attempts", "is outside 1..1000", index=index)
        words += ("max_attempts", task.max_attempts)
    if task.retry is not None:
        words += ("retry", str(_checked("retry", retry_wire, task.retry, index)))
    if task.timeout is not None:
        words += ("timeout_ms", _within("timeout", task.timeout, 1, 86_400_000, index))
    if task.expires_at is not None or task.expires_in is not None:
        words += ("expires_at", _expiry(task, index))
    if task.key is not None:
        words += ("key", check_id_like("key", task.key, index))
    if task.tags:
        words += ("tags", _tags(task.tags, index))
    if task.headers:
        words += ("headers", _headers(task.headers, index))
    if task.traceparent is not None:
        words += ("traceparent", check_id_like("traceparent", task.traceparent, index))
    if task.retention is not None:
        words += ("retention_ms", _within("retention", task.retention, 0, LONGEST_MS, index))
    if task.keep:
        words += ("keep", 1)
    if task.request is not None:
        words += ("request", check_id_like("request", task.request, index))
    if task.conditions is not None:
        words += ("conditions", conditions_text(task.conditions, index))
    return words


def conditions_text(given: Any, index: int | None = None) -> bytes:
    """Conditions as the scripts read them; raises InvalidTask."""
    if not isinstance(given, Conditions | Mapping):
        raise InvalidTask("conditions", f"must be an object, not {kind_and_length(given)}", index=index)
    return json_bytes("conditions", wire_conditions(given, index), 65_536, index)


def check_id_like(field: str, value: Any, index: int | None) -> str:
    """1 to 128 printable ASCII characters without spaces; raises InvalidTask."""
    if not isinstance(value, str) or TOKEN.fullmatch(value) is None:
        raise InvalidTask(
            field, f"{kind_and_length(value)} must be 1 to 128 printable ASCII characters without spaces", index=index
        )
    return value


def _checked(field: str, convert: Callable[[Any], Any], value: Any, index: int | None) -> Any:
    try:
        return convert(value)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InvalidTask(field, str(error), index=index) from None


def _duration(value: Any) -> int:
    milliseconds = duration_ms(value)
    if milliseconds > LONGEST_MS:
        raise ValueError("is longer than a year; give due")
    return milliseconds


def _due(value: Any) -> int:
    milliseconds = instant_ms(value)
    if isinstance(value, int) and 0 < value < CONFUSED_MS:
        raise ValueError(confused(value))
    return milliseconds


def _within(field: str, value: Any, low: int, high: int, index: int | None) -> int:
    milliseconds = int(_checked(field, duration_ms, value, index))
    if not low <= milliseconds <= high:
        raise InvalidTask(field, f"is outside {low}..{high} ms", index=index)
    return milliseconds


def _expiry(task: Task, index: int | None) -> Word:
    if task.expires_in is not None:
        if task.expires_at is not None:
            raise InvalidTask("expires_in", "give expires_at or expires_in, not both", index=index)
        return f"+{_checked('expires_in', _duration, task.expires_in, index)}"
    expires = int(_checked("expires_at", latest_ms, task.expires_at, index))
    if isinstance(task.expires_at, int) and 0 < expires < CONFUSED_MS:
        raise InvalidTask("expires_at", confused(expires), index=index)
    if expires == 0:
        raise InvalidTask("expires_at", "0 is no time", index=index)
    return expires


def _tags(value: Any, index: int | None) -> bytes:
    if not isinstance(value, Collection) or isinstance(value, str) or len(value) > MAX_TAGS:
        raise InvalidTask("tags", f"must be a list of at most {MAX_TAGS} texts", index=index)
    for tag in value:
        if not isinstance(tag, str) or not 1 <= len(tag) <= 128:
            raise InvalidTask("tags", f"{kind_and_length(tag)} must be a text of 1 to 128 characters", index=index)
    return json_bytes("tags", list(value), 4_096, index)


def _headers(value: Any, index: int | None) -> bytes:
    if not isinstance(value, Mapping):
        raise InvalidTask("headers", "must be an object of texts", index=index)
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise InvalidTask("headers", f"{kind_and_length(name)} must be a text with a text", index=index)
    return json_bytes("headers", dict(value), MAX_HEADERS_BYTES, index)


def cut(value: Any, most_bytes: int) -> str:
    """The value as text that UTF-8 can hold, without the characters beyond ``most_bytes``."""
    text = str(value)[:most_bytes]
    raw = text.encode("utf-8", "backslashreplace")
    return raw[:most_bytes].decode("utf-8", "ignore")


def reason_word(reason: str) -> str:
    """Why someone cancels or pauses, as far as Redis keeps it."""
    return cut(reason, MAX_REASON_BYTES)


def text_of(value: Any) -> str:
    """A word of a reply as text; bytes that are no UTF-8 are shown, not refused."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def pairs(flat: Sequence[Any]) -> dict[str, bytes]:
    """A flat reply ``field, value, ...`` as a dict."""
    return {text_of(flat[at]): flat[at + 1] for at in range(0, len(flat) - 1, 2)}


def _number(found: Mapping[str, Any], field: str) -> int | None:
    value = found.get(field)
    if value in (None, b"", ""):
        return None
    try:
        return int(float(value))
    except (ValueError, OverflowError):
        return None


def _moment(found: Mapping[str, Any], field: str) -> Any:
    number = _number(found, field)
    return instant(number) if number is not None and 0 <= number <= 253_402_300_799_000 else None


def count_of(value: Any) -> int:
    """A counter that anybody may have written; 0 where it is no whole number of at most 15 digits."""
    text = text_of(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0


def cap_of(word: Sequence[int]) -> int | None:
    """How many tasks of a kind a queue keeps; None: all, or an older library that does not say."""
    return word[0] if word and word[0] >= 0 else None


def stored_json(value: Any) -> Any:
    """What stored JSON says.

    Raises:
        ValueError: it is none, or nested more deeply than anything that a client may submit.
    """
    raw = value.encode() if isinstance(value, str) else bytes(value)
    check_depth(raw)
    return msgspec.json.decode(raw)


def json_or_text(value: bytes) -> Any:
    """What the JSON says; what is no JSON as text."""
    try:
        return stored_json(value)
    except ValueError:
        return text_of(value)


def _json_value(found: Mapping[str, Any], field: str) -> Any:
    value = found.get(field)
    return None if value is None else json_or_text(value)


def raw_json(value: bytes) -> msgspec.Raw | None:
    """The bytes as JSON that is passed on as it was written; None where they are no JSON."""
    try:
        stored_json(value)
    except ValueError:
        return None
    return msgspec.Raw(value)


def stored_or_text(value: bytes) -> Any:
    """The value as it is stored; what is no JSON as text."""
    raw = raw_json(value)
    return text_of(value) if raw is None else raw


def _stored(found: Mapping[str, Any], field: str) -> Any:
    value = found.get(field)
    return None if value is None else stored_or_text(value)


def _texts_stored(found: Mapping[str, Any], field: str) -> Any:
    """The same of a list or an object of texts; anything else is left out."""
    value, shape = _stored(found, field), _json_value(found, field)
    return value if _list_of_text(shape) is not None or _dict_of_text(shape) is not None else None


def _not_json(*named: tuple[Mapping[str, Any], str]) -> list[str] | None:
    names = [name for found, name in named if found.get(name) is not None and raw_json(found[name]) is None]
    return names or None


def _text(found: Mapping[str, Any], field: str) -> str | None:
    value = found.get(field)
    return None if value is None else text_of(value)


def _list_of_text(value: Any) -> list[str] | None:
    return [str(item) for item in value] if isinstance(value, list) else None


def _dict_of_text(value: Any) -> dict[str, str] | None:
    return {str(name): str(item) for name, item in value.items()} if isinstance(value, dict) else None


def task_view(
    task_id: str,
    queue: str,
    found: Mapping[str, Any],
    outcome: Mapping[str, Any],
    due: Any = b"",
    lease: Any = b"",
    stored: bool = False,
) -> TaskView:
    """What a hash and its outcome tell of a task; fields that cannot be read are left out.

    ``stored``: payload, headers, tags, conditions, progress and result are ``msgspec.Raw``, byte for byte as they are
    stored.
    """
    view, value = dict(found), _stored if stored else _json_value
    if due not in (b"", None):
        view["due_at"] = due  # before promote the score is the due time
    return TaskView(
        id=task_id,
        queue=queue,
        state=text_of(view.get("state") or "scheduled"),  # type: ignore[arg-type]
        type=text_of(view.get("type") or ""),
        payload=value(view, "payload"),
        content_type=_text(view, "content_type"),
        priority=text_of(view.get("priority") or "normal"),
        attempt=_number(view, "attempt") or 0,
        max_attempts=_number(view, "max_attempts"),
        retry=_text(view, "retry"),
        timeout_ms=_number(view, "timeout_ms"),
        due_at=_moment(view, "due_at"),
        created_at=_moment(view, "created_at"),
        started_at=_moment(view, "started_at"),
        finished_at=_moment(view, "finished_at"),
        expires_at=_moment(view, "expires_at"),
        lease_until=_moment({"lease": lease}, "lease"),
        key=_text(view, "key"),
        tags=_texts_stored(view, "tags") if stored else _list_of_text(_json_value(view, "tags")),
        headers=_texts_stored(view, "headers") if stored else _dict_of_text(_json_value(view, "headers")),
        traceparent=_text(view, "traceparent"),
        retention_ms=_number(view, "retention_ms"),
        keep=view.get("keep") in (b"1", "1"),
        request=_text(view, "request"),
        worker=_text(view, "worker"),
        reason=_text(view, "reason"),
        schedule=_text(view, "schedule"),
        slot=_moment(_slot(view), "slot"),
        conditions=value(view, "conditions"),
        blocked=_text(view, "blocked"),
        cancel_requested="cancel_requested" in view,
        progress=value(outcome, "progress"),
        result=value(outcome, "result"),
        not_json=_not_json((view, "payload"), (view, "conditions"), (outcome, "progress"), (outcome, "result")),
        error=_text(outcome, "error") or None,
        traceback=_text(outcome, "traceback") or None,
        history=_history(outcome),
    )


def enqueued_of(task_id: str, queue: str, told: str, fresh: bool) -> Enqueued:
    """The answer of enqueue for one task; ``fresh``: its id was made for this call."""
    status, _, other = told.partition(" ")
    if other:
        return Enqueued(task_id, queue, status, other=other)  # type: ignore[arg-type]
    return Enqueued(task_id, queue, "created" if fresh else status)  # type: ignore[arg-type]


def _slot(view: Mapping[str, Any]) -> Mapping[str, Any]:
    """The planned time in <slot> or, of a backfill, <slot>.b<n>."""
    return {"slot": (_text(view, "slot") or "").partition(".")[0]}


def _history(outcome: Mapping[str, Any]) -> list[Attempt] | None:
    attempts = []
    for field, line in outcome.items():
        word, _, number = field.partition(":")
        parts = text_of(line).split(" ", 3)
        if word == "attempt" and count_of(number) and len(parts) >= 3 and count_of(parts[0]):
            attempts.append(
                Attempt(
                    attempt=int(number),
                    at=instant(int(parts[0])),
                    outcome=parts[1],
                    worker="" if parts[2] == "-" else parts[2],
                    error=parts[3] if len(parts) > 3 else "",
                )
            )
    return sorted(attempts, key=lambda attempt: attempt.attempt) or None
