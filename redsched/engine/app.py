"""App: the registry of handlers. A handler's signature is its payload's schema, checked by msgspec before it runs."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec

from redsched.engine.context import Context
from redsched.model.duration import duration_ms
from redsched.model.errors import InvalidSchedule, InvalidSetting, InvalidTask
from redsched.model.retry import RetryPolicy
from redsched.model.schedule import Schedule, check, plain
from redsched.model.task import Task
from redsched.model.template import TaskTemplate
from redsched.model.vocabulary import DEFAULT_QUEUE
from redsched.wire.codec import check_name
from redsched.wire.task_words import option_words

P = ParamSpec("P")
R = TypeVar("R")
DEFAULT_TIMEOUT_MS = 60_000
# texts of msgspec that are about the handler's types alone, and beginnings of those that a value of the payload follows
_OF_TYPES = ("Expected `", "Object missing required field `")
_OF_VALUES = (
    "Object contains unknown field", "Invalid enum value", "Invalid value", "Invalid RFC3339", "Invalid UUID",
    "Invalid decimal string", "Invalid base64", "Invalid ISO8601", "Integer value out of range",
)  # fmt: skip
_PATH = re.compile(r"\$[\w.\[\]]*")


class PayloadMismatch(Exception):
    """The payload does not fit the handler's signature; the text names the path of the bad field, and may quote it.
    ``kind`` is what a log may say."""

    def __init__(self, problem: str, kind: str = "") -> None:
        super().__init__(problem)
        self.kind = kind or problem


class Handler:
    """A function, and how a payload becomes its arguments.

    A JSON object becomes keyword arguments, any other value the one positional; ``null`` calls a handler that needs
    none. What is not JSON is bytes.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        code = _code_of(function)
        if _generates(code):
            name = getattr(code, "__qualname__", repr(function))
            raise TypeError(
                f"{name} is a generator function, and calling it runs none of its body; a handler does its work and "
                "returns, so replace its yields, or iterate over it in a handler"
            )
        self.is_async = inspect.iscoroutinefunction(code)
        hints = typing.get_type_hints(code, include_extras=True)
        self.context_name: str | None = None
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        positional: list[tuple[str, Any, bool]] = []
        self._any_keyword = False
        for parameter in inspect.signature(function).parameters.values():
            annotation = hints.get(parameter.name, Any)
            if annotation is Context:
                self.context_name = parameter.name
            elif parameter.kind is parameter.VAR_KEYWORD:
                self._any_keyword = True
            elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                raise TypeError(f"{function!r}: {parameter.name} cannot be given by its name; a handler's must be")
            else:
                needed = parameter.default is parameter.empty
                may_miss: Any = typing.Union[annotation, msgspec.UnsetType]  # noqa: UP007 - the annotation is a value
                fields.append((parameter.name, annotation) if needed else (parameter.name, may_miss, msgspec.UNSET))
                positional.append((parameter.name, annotation, needed))
        payload = msgspec.defstruct("Payload", fields, forbid_unknown_fields=not self._any_keyword, kw_only=True)
        self._object = msgspec.json.Decoder(payload)
        self._rest = msgspec.json.Decoder(dict[str, Any])
        self._names = {name for name, _, _ in positional}
        self._needed = sum(needed for _, _, needed in positional)
        self._all_needed = self._needed == len(positional)
        self._one = (positional[0][0], msgspec.json.Decoder(positional[0][1])) if positional else None

    def arguments(self, payload: bytes, content_type: str | None = None) -> dict[str, Any]:
        """Keyword arguments for the function, without its context; raises PayloadMismatch.

        A payload that its ``content_type`` says is not JSON is the bytes of the one positional.
        """
        try:
            if content_type is not None and not is_json(content_type):
                return self._bytes(payload, content_type)
            if payload[:1] == b"{" or payload.lstrip()[:1] == b"{":
                found = msgspec.structs.asdict(self._object.decode(payload))
                if not self._all_needed:
                    found = {name: value for name, value in found.items() if value is not msgspec.UNSET}
                if self._any_keyword:
                    found |= {k: v for k, v in self._rest.decode(payload).items() if k not in self._names}
                return found
            if payload == b"null" and self._needed == 0:
                return {}
            if self._one is None or self._needed > 1:
                raise PayloadMismatch(f"Expected a JSON object with {self._needed} or more fields - at `$`")
            name, decoder = self._one
            return {name: decoder.decode(payload)}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PayloadMismatch(str(error), _unquoted(error)) from None

    def _bytes(self, payload: bytes, content_type: str) -> dict[str, Any]:
        if self._one is None or self._needed > 1:
            raise PayloadMismatch("a payload that is not JSON needs a handler of one parameter, for its bytes - at `$`")
        name, decoder = self._one
        return {name: msgspec.convert(payload, decoder.type)}


def _unquoted(error: Exception) -> str:
    """What was wrong and where, without the value: a payload's texts and keys are for nobody's log."""
    if not isinstance(error, msgspec.ValidationError):
        return "not UTF-8" if isinstance(error, UnicodeDecodeError) else "not readable JSON"
    problem, _, path = str(error).rpartition(" - at `")
    path = path.rstrip("`")
    if not problem or _PATH.fullmatch(path) is None:
        problem, path = str(error), "$"
    if not problem.startswith(_OF_TYPES):
        problem = next((start for start in _OF_VALUES if problem.startswith(start)), "refused by a check")
    return f"{problem} - at `{path}`"


def is_json(content_type: str) -> bool:
    """Whether a payload of this media type is JSON: ``application/json``, ``application/cloudevents+json``, ..."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("", "application/json", "text/json") or kind.endswith("+json")


def _code_of(function: Callable[..., Any]) -> Any:
    """The function that a call of this runs: behind partials, caches and bound methods, and of an object its
    ``__call__``. Not behind other decorators: what they do with the function is theirs."""
    found: Any = function
    for _ in range(100):
        if isinstance(found, functools.partial):
            found = found.func
        elif isinstance(found, functools._lru_cache_wrapper):
            found = found.__wrapped__
        elif inspect.ismethod(found) or isinstance(found, staticmethod):
            found = found.__func__
        elif inspect.isroutine(found):
            break
        else:
            found = type(found).__call__
    return found


def _generates(code: Any) -> bool:
    if inspect.isasyncgenfunction(code):
        return True
    flags = code.__code__.co_flags if inspect.isfunction(code) else 0
    return inspect.isgeneratorfunction(code) and not flags & inspect.CO_ITERABLE_COROUTINE  # of types.coroutine


class TaskType(msgspec.Struct, frozen=True, kw_only=True):
    """A type of task: its handler, and the defaults that ``task`` gives to tasks made here."""

    name: str
    handler: Handler
    queue: str = DEFAULT_QUEUE
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    max_attempts: int | None = None
    retry: RetryPolicy | Sequence[timedelta | int | str] | timedelta | None = None
    expires_in: timedelta | int | str | None = None
    schedule: Schedule | None = None

    def task(self, payload: Any = None, **options: Any) -> Task:
        """A task of this type with its defaults; ``options`` are the fields of ``Task`` and win over them."""
        own: dict[str, Any] = {"queue": self.queue, "max_attempts": self.max_attempts, "retry": self.retry}
        if self.timeout_ms != DEFAULT_TIMEOUT_MS:
            own["timeout"] = self.timeout_ms
        if "expires_at" not in options:
            own["expires_in"] = self.expires_in
        return Task(type=self.name, payload=payload, **(own | options))


class App:
    """A registry of handlers, by type."""

    def __init__(self, name: str = "app") -> None:
        self.name = name
        self.tasks: dict[str, TaskType] = {}

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedules that its types carry."""
        return tuple(found.schedule for found in self.tasks.values() if found.schedule is not None)

    def task(
        self,
        name: str,
        *,
        queue: str = DEFAULT_QUEUE,
        timeout: timedelta | int | str | None = None,
        max_attempts: int | None = None,
        retry: RetryPolicy | Sequence[timedelta | int | str] | timedelta | None = None,
        expires_in: timedelta | int | str | None = None,
        cron: str | Sequence[str] = (),
        every: timedelta | int | str | None = None,
        time_zone: str = "UTC",
        schedule: Mapping[str, Any] | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Register a function as the handler of a type; it stays a plain function.

        ``timeout`` is the time limit of a run whose task names none. The other options are defaults of
        ``TaskType.task``.

        With ``cron``, ``every`` or ``schedule`` (further fields of ``Schedule``, its ``id`` and the ``payload`` of its
        tasks among them) each worker that starts puts a schedule of this type, by the type's name.

        Raises:
            InvalidTask: an option cannot be used.
            InvalidSchedule: the schedule cannot be used.
            ValueError: the type has a handler already.
        """
        check_name("type", name)
        check_name("queue", queue)
        if name in self.tasks:
            raise ValueError(f"type {name!r} has a handler already: {self.tasks[name].handler.function!r}")
        sample = Task(type=name, timeout=timeout, max_attempts=max_attempts, retry=retry, expires_in=expires_in)
        option_words(sample, None)  # raises InvalidTask here, not at the first submit

        carried = _schedule(sample, queue, {"cron": cron, "every": every, "time_zone": time_zone, **(schedule or {})})

        def register(function: Callable[P, R]) -> Callable[P, R]:
            self.tasks[name] = TaskType(
                name=name,
                handler=Handler(function),
                queue=queue,
                max_attempts=max_attempts,
                retry=retry,
                timeout_ms=DEFAULT_TIMEOUT_MS if timeout is None else duration_ms(timeout),
                expires_in=expires_in,
                schedule=carried,
            )
            return function

        return register

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that its types name, in order of registration."""
        return tuple(dict.fromkeys(task_type.queue for task_type in self.tasks.values()))

    @staticmethod
    def load(where: str) -> App:
        """The app at ``module:attribute`` (``module`` alone: its ``app``), importable from here or the current folder.

        Raises:
            InvalidSetting: there is none.
        """
        module_name, _, attribute = where.partition(":")
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        try:
            found = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not (module_name + ".").startswith(error.name + "."):
                raise  # the module is there, and imports one that is not
            raise InvalidSetting("app", f"there is no module {module_name!r} here; write module:attribute") from None
        for part in (attribute or "app").split("."):
            found = getattr(found, part, None)  # type: ignore[assignment]
        if not isinstance(found, App):
            raise InvalidSetting("app", f"{where!r} names no redsched App")
        return found


def _schedule(sample: Task, queue: str, fields: dict[str, Any]) -> Schedule | None:
    """The schedule of a type; None where nothing says when."""
    fields = {name: value for name, value in fields.items() if value not in (None, (), [])}
    if fields == {"time_zone": "UTC"}:
        return None
    if "cron" in fields and not isinstance(fields["cron"], str):
        fields["cron"] = list(fields["cron"])
    template = TaskTemplate(
        type=sample.type,
        queue=queue,
        payload=fields.pop("payload", {}),
        max_attempts=sample.max_attempts,
        retry=sample.retry,
        timeout=sample.timeout,
        expires_in=sample.expires_in,
    )
    try:
        found = Schedule(task=template, **({"id": sample.type} | fields))
    except TypeError as error:
        raise InvalidSchedule("schedule", str(error)) from None
    check(found)
    return plain(found)


__all__ = ["App", "Handler", "InvalidTask", "PayloadMismatch", "TaskType"]
