"""The body of ``POST /v1/workflows``: a long one is read a task at a time, and no further than it may be long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from redsched.model.task import Task
from redsched.steps.workflow import MOST_TASKS
from redsched.web import bodies
from redsched.web.pieces import Pieces, TooLong
from redsched.web.problems import Problem
from redsched.wire.idempotency import identified


class WorkflowBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``{"chain": [tasks]}``, or ``{"group": [tasks], "then": task}``."""

    chain: list[bodies.TaskBody] | None = None
    group: list[bodies.TaskBody] | None = None
    then: bodies.TaskBody | None = None
    on: Literal["success", "failure", "either"] = "success"
    otherwise: Literal["cancel", "skip", "run", "wait"] = "cancel"


DECODER = msgspec.json.Decoder(WorkflowBody)


def decode(raw: bytes, longest: int) -> WorkflowBody:
    """The body, whose tasks have at most ``longest`` bytes each.

    Raises:
        Problem: malformed_json, unknown_field, validation_failed, batch_too_large or payload_too_large.
    """
    if len(raw) <= bodies.SMALL_BODY:
        return bodies.decode(DECODER, raw)
    reader, texts = Pieces(raw, longest), dict[bytes, bytes]()
    lists: dict[str, list[bodies.TaskBody]] = {}
    at = ""
    try:
        reader.take(b"{", "at the beginning")
        while reader.next() != b"}":
            if texts:
                reader.take(b",", f"or '}}' after {at}")
            name = reader.value("a name")
            at = str(msgspec.json.decode(name))[:100]
            reader.take(b":", f"after {at}")
            if name in texts:
                raise Problem("malformed_json", f"the name {at!r} is twice in one object; nothing was written")
            if at in ("chain", "group") and reader.next() == b"[":
                lists[at], texts[name] = _members(reader, at), b"[]"
            else:
                texts[name] = reader.value(at)
        reader.take(b"}", "at the end")
    except TooLong:
        detail = f"{at}: a value is longer than {longest} bytes; nothing was written"
        raise Problem("payload_too_large", detail) from None
    reader.end()
    body = bodies.decode(DECODER, b"{" + b",".join(name + b":" + text for name, text in texts.items()) + b"}")
    return msgspec.structs.replace(body, **lists)


def _members(reader: Pieces, name: str) -> list[bodies.TaskBody]:
    found: list[bodies.TaskBody] = []
    for part in reader.items(name):
        if len(found) == MOST_TASKS:
            detail = f"{name} has more than {MOST_TASKS} tasks; nothing was written"
            raise Problem("batch_too_large", detail)
        try:
            found.append(bodies.decode(bodies.TASK, part))
        except Problem as problem:
            where = f"/{name}/{len(found)}"
            errors = [msgspec.structs.replace(one, pointer=where + (one.pointer or "")) for one in problem.errors]
            raise Problem(problem.code, f"{name}[{len(found)}]: {problem.detail}", errors=errors) from None
    return found


def tasks(given: Sequence[bodies.TaskBody], traceparent: str | None, key: str | None) -> list[Task]:
    """The tasks, with ids made from the idempotency key if there is one."""
    made = [one.task(traceparent) for one in given]
    return made if key is None else [identified(task, key, at) for at, task in enumerate(made)]
