"""What a request may say: its body read within limits, decoded once, straight into a structure.

Only shapes are checked here; what a field may hold is checked where the task is written. What is stored as JSON, as a
payload is, stays as it was written: numbers and texts would come out otherwise after a decoding.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from redsched.model.duration import is_digits
from redsched.model.template import TaskTemplate
from redsched.model.vocabulary import MAX_BATCH
from redsched.web.pieces import NO_UTF8, TOO_DEEP, Pieces, TooLong
from redsched.web.problems import Problem, field_problem, of_validation, unwritten
from redsched.web.task_body import TaskBody
from redsched.wire import json_checks

JSON, NDJSON = "application/json", "application/x-ndjson"
SMALL_BODY = 65_536  # most bytes of a body without a payload, and beside a payload
IDLE_S = 30.0  # how long the next part of a body may take
WHOLE_S = 300.0  # and all of it
MOST_HELD = 268_435_456  # bytes of all bodies that came in parts and are kept at once
WHOLE = 262_144  # bytes of a batch that is decoded at once

T = TypeVar("T")


class Held:
    """Bytes of bodies that came in parts and are kept, of all requests of this process."""

    total = 0


held = Held()


class TemplateBody(TaskTemplate, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The task that a rule makes."""

    payload: msgspec.Raw = None  # type: ignore[assignment]


class TokenBody(msgspec.Struct, forbid_unknown_fields=True):
    """``{"token": "..."}``."""

    token: str


class CancelBody(msgspec.Struct, forbid_unknown_fields=True):
    """``{"reason": "order paid"}``. The reason is public: explain, events, lists and logs show it."""

    reason: str = ""


class WhenBody(msgspec.Struct, forbid_unknown_fields=True):
    """``{"due": ...}`` or ``{"delay": ...}``."""

    due: int | str | None = None
    delay: int | str | None = None


class NoBody(msgspec.Struct, forbid_unknown_fields=True):
    """``{}``."""


_VALUE = msgspec.json.Decoder()  # looks at what the others keep as it is
TASK = msgspec.json.Decoder(TaskBody)
TASKS = msgspec.json.Decoder(list[TaskBody])
CANCEL = msgspec.json.Decoder(CancelBody)
TOKEN = msgspec.json.Decoder(TokenBody)
WHEN = msgspec.json.Decoder(WhenBody)
NOTHING = msgspec.json.Decoder(NoBody)


def decode(decoder: msgspec.json.Decoder[T], body: bytes, index: int | None = None) -> T:
    """The structure that a body holds.

    Raises:
        Problem: malformed_json, unknown_field or validation_failed with the field's pointer.
    """
    try:
        found = decoder.decode(body)
        try:
            _VALUE.decode(body)
        except msgspec.ValidationError:
            raise field_problem(_beyond(found), "holds a number that is out of range", index=index) from None
    except msgspec.ValidationError as error:
        raise of_validation(error, index) from None
    except UnicodeDecodeError:
        raise Problem("malformed_json", NO_UTF8 + unwritten(index)) from None
    except msgspec.DecodeError as error:
        raise Problem("malformed_json", f"{error}{unwritten(index)}") from None
    except RecursionError:
        raise Problem("malformed_json", TOO_DEEP + unwritten(index)) from None
    try:
        json_checks.check_text(body)
    except ValueError as error:
        raise field_problem("", str(error), index=index) from None
    return found


def _beyond(found: Any) -> str:
    """Which field of a structure is JSON that is kept as it was written, and holds a number that no double holds."""
    for name in getattr(found, "__struct_fields__", ()):
        value = getattr(found, name)
        try:
            if isinstance(value, msgspec.Raw):
                _VALUE.decode(value)
        except msgspec.ValidationError:
            return str(name)
        if isinstance(value, msgspec.Struct) and (deeper := _beyond(value)):
            return f"{name}.{deeper}"
    return ""


def decode_array(body: bytes, longest: int) -> list[TaskBody | Problem]:
    """A JSON array of tasks of at most ``longest`` bytes each; one that cannot be used is a Problem in its place.

    Raises:
        Problem: malformed_json, batch_too_large or payload_too_large; nothing can be written.
    """
    if len(body) <= WHOLE and body.count(b'"type"') <= MAX_BATCH:
        try:
            whole = TASKS.decode(body)
            _VALUE.decode(body)
            json_checks.check_text(body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            pass  # one of them, or all: look at each
        else:
            _bounded(len(whole))
            return list(whole)
    reader = Pieces(body, longest)
    if reader.next() != b"[":
        raise Problem("validation_failed", "give a JSON array of tasks, or one task a line as " + NDJSON)
    found: list[TaskBody | Problem] = []
    try:
        for part in reader.items("tasks"):
            _bounded(len(found) + 1)
            found.append(_one(part, len(found)))
    except TooLong:
        detail = f"tasks[{len(found)}] is longer than {longest} bytes; nothing was written"
        raise Problem("payload_too_large", detail) from None
    reader.end()
    return found


def decode_lines(body: bytes, longest: int) -> list[TaskBody | Problem]:
    """One task a line, each of at most ``longest`` bytes; blank lines do not count.

    Raises:
        Problem: batch_too_large.
    """
    lines = [line for line in body.splitlines() if line.strip()] if body.count(b"\n") <= 2 * MAX_BATCH else []
    _bounded(len(lines) or body.count(b"\n"))
    return [_one(line, index) if len(line) <= longest else _long(index, longest) for index, line in enumerate(lines)]


def _one(part: bytes, index: int) -> TaskBody | Problem:
    try:
        return decode(TASK, part, index)
    except Problem as problem:
        return problem


def _long(index: int, longest: int) -> Problem:
    return Problem("payload_too_large", f"tasks[{index}] is longer than {longest} bytes{unwritten(index)}")


def _bounded(count: int) -> None:
    if count > MAX_BATCH:
        raise Problem("batch_too_large", f"more than {MAX_BATCH} tasks in one batch; nothing was written")


async def read_body(request: Request, limit: int, drain: int) -> bytes:
    """The whole body, at most ``limit`` bytes.

    A longer one is read to its end and dropped, so that the client gets to read the answer; beyond ``drain``
    bytes the connection is closed instead.

    Raises:
        Problem: payload_too_large or request_timeout.
    """
    declared = request.headers.get("content-length", "")
    if is_digits(declared) and int(declared) > drain:
        raise _too_large(limit, close=True)
    message = await _receive(request)
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise _too_large(limit, close=False)
        return body
    parts, size, began = [body], len(body), time.monotonic()
    while message.get("more_body"):
        if time.monotonic() - began > WHOLE_S:
            raise _late(f"the body did not come within {WHOLE_S:.0f} s; nothing was written")
        message = await _receive(request)
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            _hold(request, size, max(MOST_HELD, drain))
            parts.append(part)
        else:
            parts.clear()
            release(request.scope)
        if size > drain:
            raise _too_large(limit, close=True)
    if size > limit:
        raise _too_large(limit, close=False)
    if size <= WHOLE:
        return b"".join(parts)
    return await asyncio.to_thread(b"".join, parts)  # which copies beside the event loop


def _hold(request: Request, size: int, most: int) -> None:
    """Count the bytes of a body that is kept; ``release`` takes them off at the end of the request."""
    before = request.scope.get("held", 0)
    if held.total + size - before > most:
        detail = "the bodies of others fill the memory that there is for them; nothing was written"
        raise Problem("busy", detail, headers={"connection": "close", "retry-after": "1"})
    held.total += size - before
    request.scope["held"] = size


def release(scope: Scope) -> None:
    """Nothing of a request's body is kept any more."""
    held.total -= scope.pop("held", 0)


async def read_optional(request: Request, decoder: msgspec.json.Decoder[T], limit: int, drain: int) -> T | None:
    """The body of an action, None without one. Where a content type is named it must be JSON, also without a body: the
    form of a web page names another.

    Raises:
        Problem: as ``read_body``, ``media_type`` and ``decode``.
    """
    raw = await read_body(request, limit, drain)
    if raw or "content-type" in request.headers:
        media_type(request, JSON)
    return decode(decoder, raw) if raw.strip() else None


async def _receive(request: Request) -> Any:
    try:
        async with asyncio.timeout(IDLE_S):
            message = await request.receive()
    except TimeoutError:
        raise _late(f"no more of the body came for {IDLE_S:.0f} s; nothing was written") from None
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


def _late(detail: str) -> Problem:
    return Problem("request_timeout", detail, headers={"connection": "close"})


def _too_large(limit: int, *, close: bool) -> Problem:
    headers = {"connection": "close"} if close else None
    return Problem("payload_too_large", f"the body is longer than {limit} bytes; nothing was written", headers=headers)


def media_type(request: Request, *accepted: str) -> str:
    """The body's content type.

    Raises:
        Problem: unsupported_media_type; says how to name it.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given in accepted:
        return given
    found = "the content type is another" if given else "the request has no content type"
    raise Problem(
        "unsupported_media_type",
        f"{found}; add the header, with curl: -H 'content-type: {accepted[0]}'; nothing was written",
    )
