"""App: the registry of task types, each with its handler and the defaults of its tasks."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack, get_args

import msgspec

from redsched.engine.batch import BatchHandler, batch_of
from redsched.engine.handler import Handler, Unknown
from redsched.engine.lifespan import LifespanFunction, Opens, opening
from redsched.engine.middleware import Middleware, check_middleware
from redsched.engine.process_handler import ProcessHandler
from redsched.engine.submission import BatchSubmission, Register, RegisterBatch, Submission, attach
from redsched.model.duration import check_unit, instant_ms, span_ms
from redsched.model.errors import InvalidSchedule, InvalidSetting, InvalidTask
from redsched.model.new_task import new_task
from redsched.model.refused import kind_and_length
from redsched.model.retry import RetryPolicy
from redsched.model.schedule import Schedule, check, plain
from redsched.model.task import Task
from redsched.model.task_types import checked_version
from redsched.model.template import TaskTemplate
from redsched.model.vocabulary import DEFAULT_QUEUE
from redsched.wire.codec import check_name
from redsched.wire.task_words import option_words

DEFAULT_TIMEOUT_MS = 60_000
HOLDING = ("conditions", "hold", "wait_for", "after", "fifo", "digest")  # what may hold a task beyond its due time
LifespanT = TypeVar("LifespanT", bound=LifespanFunction)
MiddlewareT = TypeVar("MiddlewareT", bound=Middleware)


class TypeOptions(TypedDict, total=False):
    """What ``App.task`` takes beside the name, for a type whose tasks run in batches."""

    queue: str
    timeout: timedelta | str | None
    max_attempts: int | None
    retry: RetryPolicy | Sequence[timedelta | str] | timedelta | str | None
    expires_in: timedelta | str | None
    retention: timedelta | str | None
    key: str | None
    cron: str | Sequence[str]
    every: timedelta | str | None
    time_zone: str
    schedule: Mapping[str, Any] | None


class TaskType(msgspec.Struct, frozen=True, kw_only=True):
    """A type of task: its handler, and the defaults that ``task`` gives to tasks made here."""

    name: str
    handler: Handler
    sample: Task  # a task that says all defaults
    queue: str = DEFAULT_QUEUE
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    schedule: Schedule | None = None

    def task(self, payload: Any = None, **options: Any) -> Task:
        """A task of this type with its defaults; ``options`` are the fields of ``Task`` and win over them. A start-by
        counts from its due time on; a task that conditions may hold for longer gets none.

        Raises:
            InvalidTask: an option is no field of ``Task``.
        """
        sample = self.sample
        own: dict[str, Any] = {
            "queue": self.queue,
            "max_attempts": sample.max_attempts,
            "retry": sample.retry,
            "retention": sample.retention,
            "key": sample.key,
        }
        if self.timeout_ms != DEFAULT_TIMEOUT_MS:
            own["timeout"] = timedelta(milliseconds=self.timeout_ms)
        said = {name for name, value in options.items() if value not in (None, False)}
        if sample.expires_in is not None and not said & {"expires_at", "expires_in", *HOLDING}:
            own |= start_by(sample.expires_in, options.get("due"), options.get("delay"))
            options = {name: value for name, value in options.items() if name not in ("expires_at", "expires_in")}
        return new_task(self.name, payload, own | options)


def start_by(within: Any, due: Any, delay: Any) -> dict[str, Any]:
    """The start-by of a task that is due then, or after ``delay``; what cannot be read is left to who writes the
    task."""
    try:
        if delay is not None:
            return {"expires_in": timedelta(milliseconds=span_ms(delay) + span_ms(within))}
        if due is not None and (at := instant_ms(due)) > time.time() * 1_000:
            return {"expires_at": at + span_ms(within)}
    except (ValueError, TypeError, AttributeError, OverflowError):
        pass
    return {"expires_in": within}


class App:
    """A registry of handlers, by type.

    ``version``: whole numbers with dots between them, as ``2.10.1``. Of an application with versions the newest that
    has a live worker rules: its types and schedules stand, whichever worker started last, and a schedule that its code
    has not any more is paused, or with ``prune`` removed. Without a version the worker that started last puts its own.

    Raises:
        InvalidTask: the name or the version cannot be one.
    """

    def __init__(self, name: str = "app", *, version: str | None = None, prune: bool = False) -> None:
        self.name = check_name("app", name)
        self.version = checked_version(version)
        self.prune = prune
        self.tasks: dict[str, TaskType] = {}
        self.opens_lifespan: Opens | None = None
        self.middlewares: list[Middleware] = []

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedules that its types carry."""
        return tuple(found.schedule for found in self.tasks.values() if found.schedule is not None)

    def task(
        self,
        name: str,
        *,
        queue: str = DEFAULT_QUEUE,
        timeout: timedelta | str | None = None,
        max_attempts: int | None = None,
        retry: RetryPolicy | Sequence[timedelta | str] | timedelta | str | None = None,
        expires_in: timedelta | str | None = None,
        retention: timedelta | str | None = None,
        key: str | None = None,
        cron: str | Sequence[str] = (),
        every: timedelta | str | None = None,
        time_zone: str = "UTC",
        schedule: Mapping[str, Any] | None = None,
        unknown: Unknown = "ignore",
        process: bool = False,
    ) -> Register:
        """Register a function as the handler of a type; it stays the function that it was.

        It also makes tasks of its type: ``function.task(...)`` takes the handler's arguments without its context, and
        so does ``client.enqueue(function, ...)``; ``function.options(delay="5m")`` stands for the function with fields
        of ``Task``. A type checker checks the arguments; put the ``Context`` first, or it cannot leave it out.

        ``queue``, ``timeout``, ``max_attempts``, ``retry``, ``expires_in`` (start-by, from the due time on),
        ``retention`` and ``key`` are the defaults of its tasks. A worker of the app puts them into Redis at its start.
        From then on a task of this type that does not say them gets them, however it is made: by a client, over HTTP,
        by the command line, a schedule, a rule or plain commands. One that is made through the function has them even
        before.

        With ``cron``, ``every`` or ``schedule`` (further fields of ``Schedule``, its ``id`` and the ``payload`` of its
        tasks among them) each worker that starts puts a schedule of this type, by the type's name.

        ``unknown``: what becomes of fields of a payload that no parameter has. ``ignore``: the handler runs without
        them, so that a producer may be newer than a worker; the worker logs their names once. ``refuse``: the task is
        dead.

        ``process``: run the handler, a plain function that computes, in a process of its own. A run that is stopped is
        killed there. Its context has no ``state`` and no client.

        Raises:
            InvalidTask: an option cannot be used.
            InvalidSchedule: the schedule cannot be used.
            ValueError: the type has a handler already.
            TypeError: a parameter can never get its value from a payload.
        """
        check_name("type", name)
        check_name("queue", queue)
        if name in self.tasks:
            raise ValueError(f"type {name!r} has a handler already: {self.tasks[name].handler.function!r}")
        if unknown not in get_args(Unknown):
            raise InvalidTask("unknown", f"{kind_and_length(unknown)} is not ignore or refuse")
        sample = Task(
            type=name,
            timeout=timeout,
            max_attempts=max_attempts,
            retry=retry,
            expires_in=expires_in,
            retention=retention,
            key=key,
        )
        option_words(sample, None)  # raises InvalidTask here, not at the first submit

        if every is not None:
            try:
                check_unit(every)
            except ValueError as error:
                raise InvalidSchedule("every", str(error)) from None
        carried = _schedule(sample, queue, {"cron": cron, "every": every, "time_zone": time_zone, **(schedule or {})})

        def register(function: Callable[..., Any]) -> Any:
            handler = Handler(function, name, unknown)
            made = self.tasks[name] = TaskType(
                name=name,
                handler=ProcessHandler(handler) if process else handler,
                sample=sample,
                queue=queue,
                timeout_ms=DEFAULT_TIMEOUT_MS if timeout is None else span_ms(timeout),
                schedule=carried,
            )
            attach(function, Submission(function, handler.context_name, made.task, name))
            return function

        return register

    def batch(
        self, name: str, *, size: int = 100, linger: timedelta | str = "20ms", **options: Unpack[TypeOptions]
    ) -> RegisterBatch:
        """Register a function that runs up to ``size`` tasks of a type together: ``(batch: list[tuple[Context, P]])``.

        A worker collects tasks of the type; the function is called when ``size`` of them are there, or ``linger`` after
        the first. ``P`` is the type of a payload, the whole of it. The function returns a list: of each task, in order,
        its result, an outcome (``Retry``, ``Snooze``, ...) or an exception, which ends that task as if it had been
        raised by it. A list that is too short fails those that it says nothing of, one that is too long fails all.
        None: all are completed. What the function raises ends all of its tasks by the rules of that exception.

        Each task keeps its lease, attempts, time limit and middleware. One that is stopped leaves the batch, which goes
        on with the others; when all are stopped, the function is cancelled. A batch takes the place of one run in
        ``concurrency``. ``options`` are those of ``task``. ``function.task(payload)`` makes a task of the type, as does
        ``client.enqueue(function, payload)``.

        Raises:
            ValueError: ``size`` is not 1 to 1,000, ``linger`` is longer than 10 s, or the type has a handler already.
            TypeError: the function can never be called with such a list.
        """

        def register(function: Callable[..., Any]) -> Any:
            handler = BatchHandler(batch_of(function, size, linger), name)
            self.task(name, **options)(_stand_in())
            made = self.tasks[name] = msgspec.structs.replace(self.tasks[name], handler=handler)
            attach(function, BatchSubmission(function, None, made.task, name))
            return function

        return register

    def lifespan(self, function: LifespanT) -> LifespanT:
        """Register what a worker opens before its first run and closes after its last: an async generator function
        that yields once, or a function that makes an async context manager. It takes the worker's ``AsyncClient``, or
        nothing.

        What it yields is ``state`` of every ``Context``. It runs once in each worker process. A worker whose lifespan
        raises while it opens runs nothing and ends with exit code 1.

        Raises:
            ValueError: the app has a lifespan already.
            TypeError: it can never be entered.
        """
        if self.opens_lifespan is not None:
            raise ValueError(f"app {self.name!r} has a lifespan already; one can enter several context managers")
        self.opens_lifespan = opening(function)
        return function

    def middleware(self, function: MiddlewareT) -> MiddlewareT:
        """Register ``async (ctx, call_next)``, which a worker awaits around each run. The first that is registered is
        the outermost.

        ``await call_next()`` calls the next middleware, in the end the handler; it gives what that returned and raises
        what it raised. What the middleware returns or raises is how the run ended, so return what ``call_next`` gave.
        The context is the run's own; without a call of ``call_next`` the handler is not called. The time limit of the
        run holds for all of it. A task whose payload does not fit its handler is dead before any middleware.

        Raises:
            TypeError: it cannot be awaited around a run.
        """
        check_middleware(function)
        self.middlewares.append(function)
        return function

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


def _stand_in() -> Callable[..., Any]:
    async def one(payload: Any = None) -> None:
        """Stands for a batch handler where its type is registered."""

    return one


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
        retention=sample.retention,
        key=sample.key,
    )
    try:
        found = Schedule(task=template, **({"id": sample.type} | fields))
    except TypeError as error:
        raise InvalidSchedule("schedule", str(error)) from None
    check(found)
    return plain(found)


__all__ = ["App", "InvalidTask", "TaskType"]
