"""What an error looks like over HTTP (RFC 9457), and the one table from errors to status codes.

Codes are stable: a client may branch on them. A detail names a field and says what it must be. It never holds the
value that was refused, for that may be a token or a payload in a wrong place; only timing texts (cron and the like)
and plain names of zones and calendars (``schedule.quoted``) are quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
from starlette.responses import Response

from redsched.model.errors import (
    InvalidSchedule,
    InvalidState,
    InvalidTask,
    LeaseLost,
    NotDurable,
    OutcomeUnknown,
    PlanningSpent,
    QueueNotFound,
    RedschedError,
    ScheduleNotFound,
    StoreBroken,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreRefused,
    StoreUnavailable,
    TaskConflict,
    TaskInSeveralQueues,
    TaskNotFound,
    WorkflowIncomplete,
)
from redsched.model.refused import without_value
from redsched.model.vocabulary import FINISHED

TITLES: dict[str, tuple[int, str]] = {
    "malformed_json": (400, "The body is not JSON"),
    "bad_cursor": (400, "The cursor is not one of ours"),
    "bad_filter": (400, "A query parameter cannot be used"),
    "bad_idempotency_key": (400, "The Idempotency-Key cannot be used"),
    "missing_key": (401, "No bearer token was given"),
    "invalid_key": (401, "The bearer token is not the right one"),
    "cross_site_write": (403, "Another site asked for a change"),
    "foreign_host": (403, "The request names another host"),
    "not_found": (404, "No such resource"),
    "task_not_found": (404, "No such task"),
    "queue_not_found": (404, "No such queue"),
    "schedule_not_found": (404, "No such schedule"),
    "rule_not_found": (404, "No such rule"),
    "calendar_not_found": (404, "No such calendar"),
    "method_not_allowed": (405, "The resource does not take this method"),
    "request_timeout": (408, "The body did not arrive in time"),
    "in_several_queues": (409, "Several queues have a task of this id"),
    "operation_exists": (409, "The id belongs to another operation"),
    "task_exists": (409, "The id belongs to another task"),
    "workflow_incomplete": (409, "Tasks of the workflow were not made"),
    "invalid_state": (409, "The task's state does not allow this"),
    "would_expire": (409, "The task's start-by lies before that time"),
    "already_finished": (409, "The task has already finished"),
    "lease_lost": (409, "Another worker holds a newer attempt"),
    "idempotency_in_flight": (409, "The first request with this key is under way"),
    "precondition_failed": (412, "It exists already"),
    "payload_too_large": (413, "The body is too large"),
    "batch_too_large": (413, "The batch has too many tasks"),
    "too_slow": (422, "The next runs take too long to compute"),
    "busy": (429, "Others are computing"),
    "unsupported_media_type": (415, "The content type is not accepted"),
    "validation_failed": (422, "A field cannot be used"),
    "unknown_field": (422, "A field is not known"),
    "unknown_type": (422, "No worker has put the type"),
    "payload_mismatch": (422, "The payload does not fit its type"),
    "strict_unavailable": (501, "This server cannot check payloads"),
    "type_not_found": (404, "No such type"),
    "invalid_schedule": (422, "The schedule cannot be used"),
    "invalid_cron": (422, "A cron expression cannot be read"),
    "unknown_time_zone": (422, "The time zone is not known"),
    "never_fires": (422, "The schedule would never run"),
    "too_many_runs": (422, "The range has too many runs"),
    "idempotency_key_reused": (422, "The key belongs to another request"),
    "headers_too_large": (431, "The request has too many headers"),
    "internal": (500, "An error of the server"),
    "store_broken": (500, "A key in Redis has another type than it must have"),
    "store_refused": (500, "Redis refused the call"),
    "store_unavailable": (503, "Redis is away"),
    "store_read_only": (503, "Redis does not take writes"),
    "store_out_of_memory": (503, "Redis is full"),
    "store_denied": (503, "Redis refuses our credentials"),
    "outcome_unknown": (503, "Redis did not answer"),
    "not_durable": (503, "Stored, but not as durably as asked"),
}

CODES: dict[type[RedschedError], str] = {
    InvalidTask: "validation_failed",
    InvalidSchedule: "invalid_schedule",
    PlanningSpent: "too_slow",
    TaskNotFound: "task_not_found",
    TaskInSeveralQueues: "in_several_queues",
    ScheduleNotFound: "schedule_not_found",
    QueueNotFound: "queue_not_found",
    TaskConflict: "task_exists",
    WorkflowIncomplete: "workflow_incomplete",
    InvalidState: "invalid_state",
    LeaseLost: "lease_lost",
    OutcomeUnknown: "outcome_unknown",
    NotDurable: "not_durable",
    StoreUnavailable: "store_unavailable",
    StoreReadOnly: "store_read_only",
    StoreFull: "store_out_of_memory",
    StoreDenied: "store_denied",
    StoreBroken: "store_broken",
    StoreRefused: "store_refused",
    StoreError: "store_refused",
    RedschedError: "internal",
}
UNEXPECTED = "this was not expected; the log has it under this request id"
RETRY_AFTER = {"store_unavailable": "1", "store_read_only": "1", "outcome_unknown": "1", "store_out_of_memory": "5"}
MAX_ERRORS = 20  # listed in one problem
MAX_DETAIL = 1_000  # characters


class FieldError(msgspec.Struct, omit_defaults=True):
    """What is wrong with one field: ``pointer`` (RFC 6901) into the body, or the name of a query ``parameter``."""

    code: str
    detail: str
    pointer: str | None = None
    parameter: str | None = None


class Body(msgspec.Struct, omit_defaults=True):
    """The JSON of a problem."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: Sequence[FieldError] = ()
    request_id: str = ""


class Problem(Exception):
    """Raise to answer with this problem; nothing else was done."""

    def __init__(
        self, code: str, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail if len(detail) <= MAX_DETAIL else detail[:MAX_DETAIL] + "..."
        self.errors = errors
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The status code."""
        return TITLES[self.code][0]

    def body(self, request_id: str = "") -> Body:
        """The JSON of it."""
        status, title = TITLES[self.code]
        errors = self.errors[:MAX_ERRORS]
        return Body(f"urn:redsched:problem:{self.code}", title, status, self.code, self.detail, errors, request_id)

    def response(self, request_id: str) -> Response:
        """The answer."""
        return Response(
            msgspec.json.encode(self.body(request_id)),
            self.status,
            {**self.headers, "content-type": "application/problem+json"},
        )


def field_problem(field: str, detail: str, *, code: str = "invalid", index: int | None = None) -> Problem:
    """A 422 for one field of the body; ``field`` is written ``retry.base`` or ``tags[2]``."""
    where = field if index is None else f"tasks[{index}].{field}" if field else f"tasks[{index}]"
    top = code if code in ("unknown_field", "unknown_type", "payload_mismatch") else "validation_failed"
    text = f"{where}: {detail}" if where else detail
    return Problem(top, text + unwritten(index), errors=[FieldError(code, detail, pointer(field, index))])


def unwritten(index: int | None = None) -> str:
    """The end of a detail: what was not done."""
    return "; nothing was written" if index is None else "; this task was not written"


def parameter_problem(parameter: str, detail: str, *, code: str = "bad_filter") -> Problem:
    """A 400 for one query parameter."""
    return Problem(code, f"{parameter}: {detail}", errors=[FieldError("invalid", detail, parameter=parameter)])


def of_error(error: RedschedError) -> Problem:
    """The problem for one of redsched's errors."""
    code = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    if isinstance(error, InvalidTask):
        if error.code == "bad_cursor":
            return parameter_problem(error.field, error.problem, code="bad_cursor")
        if error.code in ("payload_too_large", "batch_too_large", "operation_exists"):
            where = pointer(error.field, error.index)
            return Problem(error.code, str(error), errors=[FieldError(error.code, error.problem, where)])
        return field_problem(error.field, error.problem, code=error.code, index=error.index)
    if isinstance(error, WorkflowIncomplete):
        errors = [FieldError(one.status, f"task {one.id!r} in queue {one.queue!r}") for one in error.missing]
        return Problem(code, str(error), errors=errors)
    if isinstance(error, InvalidSchedule):
        code = error.code if error.code in TITLES else code
        return Problem(code, str(error), errors=[FieldError(error.code, error.problem, _scheduled(error))])
    if isinstance(error, InvalidState) and (error.state in FINISHED or error.state in ("finished", "dead")):
        code = "already_finished"
    detail = str(error)
    if isinstance(error, StoreUnavailable):  # without the address, which is for who runs this server
        detail = str(StoreUnavailable(error.verb, error.problem, reads=error.reads))
    if isinstance(error, OutcomeUnknown):
        detail += "; repeat it with the same id or request and it is not done twice"
    headers = {"retry-after": RETRY_AFTER[code]} if code in RETRY_AFTER else None
    return Problem(code, UNEXPECTED if code == "internal" else detail, headers=headers)


def _scheduled(error: InvalidSchedule) -> str:
    """The pointer to a field of a schedule, or of one among ``schedules``."""
    field = "" if error.field == "schedule" else error.field  # that is all of it
    return pointer(field) if error.index is None else pointer(f"schedules[{error.index}].{field}")


def pointer(field: str, index: int | None = None) -> str:
    """The JSON pointer of a path such as ``retry.delays[2]``."""
    steps = [step for step in re.split(r"[.\[\]]+", field) if step]
    if index is not None:
        steps.insert(0, str(index))
    return "".join("/" + escaped(step) for step in steps)


def escaped(step: str) -> str:
    """One step of a JSON pointer."""
    return step.replace("~", "~0").replace("/", "~1")


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*?)`(?: - at `\$(?P<path>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`(?: - at `\$(?P<path>[^`]*)`)?")
_OTHER = re.compile(r"(?P<what>.*?)(?: - at `(?:key` in `)?\$(?P<path>[^`]*)`)?", re.DOTALL)


def of_validation(error: msgspec.ValidationError, index: int | None = None) -> Problem:
    """The problem for what msgspec found wrong with a body."""
    text = str(error)
    for shape, code, detail in (
        (_UNKNOWN, "unknown_field", "is not a field of this body"),
        (_MISSING, "required", "is required"),
    ):
        match = shape.fullmatch(text)
        if match is not None:
            name = match["name"][:100]
            found = FieldError(code, detail, pointer=pointer(_path(match), index) + "/" + escaped(name))
            top = "unknown_field" if code == "unknown_field" else "validation_failed"
            return Problem(top, f"{name!r} {detail}{unwritten(index)}", errors=[found])
    match = _OTHER.fullmatch(text)
    what, path = (match["what"], _path(match)) if match is not None else (text, "")
    return field_problem(path, without_value(what[:1].lower() + what[1:]), index=index)


def _path(match: re.Match[str]) -> str:
    return (match["path"] or "").replace("[...]", "").removeprefix(".")
