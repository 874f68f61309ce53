"""A template as words of the wire, and back: the fields of the tasks that a schedule or a rule makes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from redsched.model.duration import is_digits
from redsched.model.errors import InvalidSchedule, InvalidTask
from redsched.model.fields import FIELDS, Kind
from redsched.model.retry import retry_of
from redsched.model.template import TaskTemplate
from redsched.wire.codec import Word, check_name, is_name, json_bytes, raw_json, stored_json, text_of
from redsched.wire.task_words import option_words


def task_words(template: TaskTemplate, max_payload: int) -> list[Word]:
    """Field, value, ... of the tasks; a start-by counts from the planned time.

    Raises:
        InvalidSchedule: a field of the task cannot be used.
    """
    try:
        task = template.task()
        words: list[Word] = ["type", check_name("type", task.type)]
        words += ("payload", json_bytes("payload", task.payload, max_payload))
        if template.queue is not None:
            check_name("queue", template.queue)
        return words + option_words(task, None)
    except InvalidTask as error:
        raise InvalidSchedule(f"task.{error.field}", error.problem, code=error.code) from None
    except ValueError as error:
        raise InvalidSchedule("task.retry", str(error)) from None


def template_of(fields: Mapping[str, Any], queue: str, *, written: bool = False) -> TaskTemplate:
    """The template of stored words; a field that cannot be read is left out, for the tasks will tell.

    An empty ``queue`` is none: that of the type. ``written``: the payload is ``msgspec.Raw``, byte for byte as it is
    stored.
    """
    texts = {name: text_of(value) for name, value in fields.items()}
    found: dict[str, Any] = {"type": texts.get("type", "")}
    if is_name(queue):
        found["queue"] = queue
    for field, read in _READ:
        if field.word in texts:
            with contextlib.suppress(ValueError):
                found[field.name] = read(texts[field.word])
    if written and found.get("payload") is not None:
        found["payload"] = raw_json(fields["payload"])
    return TaskTemplate(**found)


def _of(kind: Any) -> Callable[[str], Any]:
    return lambda text: msgspec.convert(stored_json(text), kind)


def _whole(text: str) -> int:
    if not is_digits(text) or len(text) > 15:
        raise ValueError("is no whole number")
    return int(text)


_VALUE: dict[Kind, Callable[[str], Any]] = {
    "json": stored_json,
    "choice": str,
    "token": str,
    "whole": _whole,
    "duration": _whole,
    "start_within": lambda text: _whole(text.removeprefix("+")),
    "retry": retry_of,
    "texts": _of(list[str]),
    "headers": _of(dict[str, str]),
    "flag": bool,
    "conditions": _of(dict[str, Any]),
}
_READ = [(field, _VALUE[field.kind]) for field in FIELDS if field.in_template and field.kind not in ("name", "queue")]
TEMPLATE_NAME = {field.word: field.name for field, _ in _READ} | {"type": "type"}  # field of a hash -> of a template
