"""The endpoints of recurring schedules: each reads its request, calls one method of the client and writes JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from redsched.client import AsyncClient
from redsched.model.duration import is_digits
from redsched.model.errors import InvalidSchedule
from redsched.model.schedule import Schedule, schedule_of
from redsched.model.schedule_views import run_document, view_document
from redsched.schedule.definition import Overlap, keep_payload
from redsched.schedule.describe import describe
from redsched.settings import Settings
from redsched.web import bodies
from redsched.web.aside import Aside, PlannedSchedules
from redsched.web.http import Json, flag_of, parameters
from redsched.web.problems import Problem, field_problem, parameter_problem
from redsched.web.strict import checking

MAX_SHOWN = 100
PLAN_S = 1.0  # of work for the next runs that one request asks for
APPLY_S = 20.0  # and for those of all schedules that one request puts
MAX_MEMBERS = 1_000  # schedules of one apply, dates of one calendar

T = TypeVar("T")


class PauseBody(msgspec.Struct, forbid_unknown_fields=True):
    """``{"reason": "bank holiday", "until": "2027-01-01T00:00:00Z"}``; both may be left out."""

    reason: str = ""
    until: int | str | None = None


class TriggerBody(msgspec.Struct, forbid_unknown_fields=True):
    """``{"payload": {...}, "overlap": "allow_all"}``; without them, the schedule's own."""

    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    overlap: str | None = None


class _Members(msgspec.Struct):
    """The definitions of an apply as they were written."""

    schedules: list[msgspec.Raw]


class BackfillBody(msgspec.Struct, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}):
    """``{"from": ..., "to": ...}``, both included."""

    start: int | str
    end: int | str
    overlap: str | None = None
    dry_run: bool = False


class ApplyBody(msgspec.Struct, forbid_unknown_fields=True):
    """``{"schedules": [...], "owner": "apply", "prune": false, "dry_run": false}``."""

    schedules: list[dict[str, Any]]
    owner: str = "apply"
    prune: bool = False
    dry_run: bool = False


class DatesBody(msgspec.Struct, forbid_unknown_fields=True):
    """``{"dates": ["2027-12-25", "*-01-01"]}``."""

    dates: list[str]


_ANY = msgspec.json.Decoder(dict[str, Any])
_PAUSE = msgspec.json.Decoder(PauseBody)
_TRIGGER = msgspec.json.Decoder(TriggerBody)
_BACKFILL = msgspec.json.Decoder(BackfillBody)
_APPLY = msgspec.json.Decoder(ApplyBody)
_DATES = msgspec.json.Decoder(DatesBody)


class SchedulesApi:
    """What the endpoints share."""

    def __init__(self, settings: Settings, client: AsyncClient, aside: Aside) -> None:
        self._client = client
        self._aside = aside
        self._limit = settings.max_payload_bytes + bodies.SMALL_BODY
        self._settings = settings
        self._actions: dict[str, Callable[[Request, str], Awaitable[Response]]] = {
            "pause": self.pause,
            "resume": self.resume,
            "trigger": self.trigger,
            "backfill": self.backfill,
        }

    def routes(self) -> list[Route]:
        """The routes, each method of a path apart."""
        return [
            Route("/v1/schedules", self.list, methods=["GET"]),
            Route("/v1/schedules:preview", self.preview, methods=["POST"]),
            Route("/v1/schedules:apply", self.apply, methods=["POST"]),
            Route("/v1/schedules/{id}", self.show, methods=["GET"]),
            Route("/v1/schedules/{id}", self.put, methods=["PUT"]),
            Route("/v1/schedules/{id}", self.patch, methods=["PATCH"]),
            Route("/v1/schedules/{id}", self.delete, methods=["DELETE"]),
            Route("/v1/schedules/{id}", self.act, methods=["POST"]),
            Route("/v1/calendars", self.calendars, methods=["GET"]),
            Route("/v1/calendars/{name}", self.calendar, methods=["GET"]),
            Route("/v1/calendars/{name}", self.put_calendar, methods=["PUT"]),
            Route("/v1/calendars/{name}", self.drop_calendar, methods=["DELETE"]),
        ]

    async def list(self, request: Request) -> Response:
        """One page, the one that is looked at next first."""
        given = parameters(request, "limit", "cursor")
        text = given.get("limit", "50")
        if not (is_digits(text) and len(text) <= 4 and 1 <= int(text) <= MAX_SHOWN):
            raise parameter_problem("limit", f"must be a whole number of 1..{MAX_SHOWN}")
        page = await self._planned().list(limit=int(text), cursor=given.get("cursor"), stored=True)
        return Json({"items": [view_document(view) for view in page.items], "next_cursor": page.next_cursor})

    async def show(self, request: Request) -> Response:
        """One schedule: its definition, next and last runs, counters."""
        parameters(request)
        return Json(view_document(await self._planned().get(request.path_params["id"], stored=True)))

    async def put(self, request: Request) -> Response:
        """201 for a new one, 200 for one that is replaced or stays as it is. ``If-None-Match: *`` creates only."""
        strict = flag_of(parameters(request, "strict"), "strict")
        match = request.headers.get("if-none-match")
        if match not in (None, "*"):
            raise parameter_problem("If-None-Match", "must be *; nothing was written")
        given = await self._definition(request)
        schedule = _schedule(given, request.path_params["id"])
        with checking():
            answer = await self._planned(strict=strict).put(schedule, create_only=match == "*")
        if answer.status == "exists":
            raise Problem("precondition_failed", f"schedule {schedule.id!r} exists; nothing was written")
        if answer.status == "created":
            return Json(answer, 201, {"location": f"/v1/schedules/{quote(schedule.id, safe='@+')}"})
        return Json(answer)

    async def patch(self, request: Request) -> Response:
        """Change some fields of the definition: a JSON merge patch (RFC 7396), null takes a field away."""
        strict = flag_of(parameters(request, "strict"), "strict")
        schedule_id = request.path_params["id"]
        patch = await self._definition(request, bodies.JSON, "application/merge-patch+json")
        if patch.get("id", schedule_id) != schedule_id:
            raise field_problem("id", "is not the one of the path")
        with checking():
            return Json(await self._planned(strict=strict).patch(schedule_id, patch))

    async def delete(self, request: Request) -> Response:
        """Remove a schedule: answers 204. The tasks that it made stay."""
        parameters(request)
        if not await self._planned().delete(request.path_params["id"]):
            raise Problem("schedule_not_found", "no schedule has this id; nothing changed")
        return Response(status_code=204)

    async def act(self, request: Request) -> Response:
        """``POST /v1/schedules/{id}:{verb}``."""
        schedule_id, _, verb = request.path_params["id"].rpartition(":")
        action = self._actions.get(verb)
        if action is None or not schedule_id:
            verbs = ", ".join(f":{name}" for name in self._actions)
            raise Problem("not_found", f"a schedule is acted on by {verbs} after its id; nothing was done")
        parameters(request, *(("strict",) if verb == "trigger" else ()))
        return await action(request, schedule_id)

    async def pause(self, request: Request, schedule_id: str) -> Response:
        """No runs until it is resumed, or until a time."""
        body = await self._small(request, _PAUSE) or PauseBody()
        await self._planned().pause(schedule_id, reason=body.reason, until=body.until)
        return Json({"id": schedule_id, "status": "paused"})

    async def resume(self, request: Request, schedule_id: str) -> Response:
        """Its next slot counts again."""
        await self._small(request, bodies.NOTHING)
        was = await self._planned().resume(schedule_id)
        return Json({"id": schedule_id, "status": "resumed" if was else "active"})

    async def trigger(self, request: Request, schedule_id: str) -> Response:
        """Run it now; ``task_id`` null where its overlap policy left it out or keeps it for later."""
        body = await self._small(request, _TRIGGER) or TriggerBody()
        payload = {} if body.payload is msgspec.UNSET else {"payload": body.payload}
        strict = flag_of(parameters(request, "strict"), "strict")
        with checking():
            planned = self._planned(strict=strict)
            made = await planned.trigger(schedule_id, overlap=cast(Overlap | None, body.overlap), **payload)
        return Json({"id": schedule_id, "task_id": made}, 200 if made is None else 201)

    async def backfill(self, request: Request, schedule_id: str) -> Response:
        """Run it once more for each slot of a range."""
        body = await self._small(request, _BACKFILL)
        if body is None:
            raise Problem("validation_failed", "give from and to; nothing was made")
        return Json(
            await self._planned().backfill(
                schedule_id, body.start, body.end, overlap=cast(Overlap | None, body.overlap), dry_run=body.dry_run
            )
        )

    async def preview(self, request: Request) -> Response:
        """The next runs of a definition, with notes at the edges of daylight saving time; nothing is written."""
        parameters(request)
        given = await self._body(request, _ANY)
        start, count = given.pop("from", None), given.pop("count", 10)
        if not isinstance(count, int) or isinstance(count, bool):
            raise field_problem("count", "must be a whole number of 1..1000")
        schedule = _schedule({"task": {"type": "preview"}, **given}, given.get("id", ""))
        runs = await self._planned().preview(schedule, start=start, count=count)
        text = await self._aside.planned(describe, schedule)
        return Json({"description": text, "runs": [run_document(run) for run in runs]})

    async def apply(self, request: Request) -> Response:
        """Put many for an owner; with ``prune`` what else it has is removed, with ``dry_run`` nothing is written."""
        strict = flag_of(parameters(request, "strict"), "strict")
        raw = await self._raw(request)
        body = await self._aside.decode(_APPLY, raw)
        _bounded("schedules", body.schedules)
        texts = msgspec.json.decode(raw, type=_Members).schedules
        for one, text in zip(body.schedules, texts, strict=True):
            keep_payload(one, bytes(text))
        schedules = [_schedule(one, one.get("id", ""), at) for at, one in enumerate(body.schedules)]
        planned = self._planned(APPLY_S, strict=strict)
        with checking():
            return Json(await planned.apply(schedules, owner=body.owner, prune=body.prune, dry_run=body.dry_run))

    async def calendars(self, request: Request) -> Response:
        """The dates of every calendar, by name."""
        parameters(request)
        return Json(await self._planned().calendars())

    async def calendar(self, request: Request) -> Response:
        """The dates of one."""
        parameters(request)
        name = request.path_params["name"]
        found = await self._planned().calendars()
        if name not in found:
            raise Problem("calendar_not_found", "no calendar has this name")
        return Json({"name": name, "dates": found[name]})

    async def put_calendar(self, request: Request) -> Response:
        """Keep a calendar; schedules that name it are planned anew."""
        parameters(request)
        name, body = request.path_params["name"], await self._body(request, _DATES)
        _bounded("dates", body.dates)
        await self._planned().put_calendar(name, body.dates)
        return Json({"name": name, "dates": sorted(set(body.dates))})

    async def drop_calendar(self, request: Request) -> Response:
        """Remove a calendar: answers 204."""
        parameters(request)
        if not await self._planned().drop_calendar(request.path_params["name"]):
            raise Problem("calendar_not_found", "no calendar has this name; nothing changed")
        return Response(status_code=204)

    def _planned(self, seconds: float | None = None, *, strict: bool = False) -> PlannedSchedules:
        return PlannedSchedules(self._client, self._aside, PLAN_S if seconds is None else seconds, strict)

    async def _body(self, request: Request, decoder: msgspec.json.Decoder[T], *types: str) -> T:
        return await self._aside.decode(decoder, await self._raw(request, *types))

    async def _raw(self, request: Request, *types: str) -> bytes:
        bodies.media_type(request, *(types or (bodies.JSON,)))
        return await bodies.read_body(request, self._limit, self._settings.max_body_bytes)

    async def _definition(self, request: Request, *types: str) -> dict[str, Any]:
        raw = await self._raw(request, *types)
        given = await self._aside.decode(_ANY, raw)
        keep_payload(given, raw)
        return given

    async def _small(self, request: Request, decoder: msgspec.json.Decoder[T]) -> T | None:
        return await bodies.read_optional(request, decoder, self._limit, self._settings.max_body_bytes)


def _bounded(field: str, given: Sequence[Any]) -> None:
    if len(given) > MAX_MEMBERS:
        raise field_problem(field, f"has {len(given)} members; at most {MAX_MEMBERS} are taken")


def _schedule(given: Mapping[str, Any], schedule_id: Any, index: int | None = None) -> Schedule:
    """The definition in a body; the id in it, if there is one, must be that of the path."""
    if given.get("id", schedule_id) != schedule_id:
        raise field_problem("id", "is not the one of the path")
    try:
        return schedule_of({**given, "id": schedule_id})
    except InvalidSchedule as error:
        raise InvalidSchedule(error.field, error.problem, index=index, code=error.code) from None
