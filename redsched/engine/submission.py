"""Typed submission: a function that handles a type also makes its tasks, and a type checker knows its parameters.

A type checker leaves the ``Context`` out of what a caller gives if it is the first parameter. Elsewhere it cannot:
there only ``ctx: Context | None = None`` lets a caller leave it out. A first parameter that is ``Any`` or ``object``
looks to it like a ``Context``. In a direct call it takes the first ``Context`` by its place, not by its name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, Unpack, overload

from redsched.engine.context import Context
from redsched.model.errors import InvalidTask
from redsched.model.task import Options, Task

Call = ParamSpec("Call")
Given = ParamSpec("Given")
Payload = TypeVar("Payload")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Registered(Protocol[Call, Given, R_co]):
    """A function that ``@app.task`` has registered: it is called as before, and makes tasks of its type."""

    def __call__(self, *args: Call.args, **kwargs: Call.kwargs) -> R_co:
        """Call the function here and now."""

    def task(self, *args: Given.args, **kwargs: Given.kwargs) -> Task:
        """A task of the type with the defaults of its decorator; its payload is these arguments.

        Raises:
            InvalidTask: the function takes other arguments, or handles several types.
        """

    def options(self, **options: Unpack[Options]) -> Submission[Given]:
        """The same type with these fields of ``Task``; they win over the decorator's defaults."""


class Register(Protocol):
    """The decorator that ``app.task(...)`` makes."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Context, Given], R]
    ) -> Registered[Concatenate[Context, Given], Given, R]: ...

    @overload
    def __call__(self, function: Callable[Given, R]) -> Registered[Given, Given, R]: ...


class BatchRegistered(Protocol[Payload, R_co]):
    """A function that ``@app.batch`` has registered: it is called as before, and makes tasks of its type."""

    def __call__(self, batch: list[tuple[Context, Payload]], /) -> R_co:
        """Call the function here and now."""

    def task(self, payload: Payload) -> Task:
        """A task of the type with the defaults of its decorator.

        Raises:
            InvalidTask: another number of arguments is given.
        """

    def options(self, **options: Unpack[Options]) -> BatchSubmission[Payload]:
        """The same type with these fields of ``Task``; they win over the decorator's defaults."""


class RegisterBatch(Protocol):
    """The decorator that ``app.batch(...)`` makes."""

    def __call__(self, function: Callable[[list[tuple[Context, Payload]]], R]) -> BatchRegistered[Payload, R]: ...


class Submission(Generic[Given]):
    """One type of task with fields of ``Task``; ``task`` adds the payload."""

    def __init__(
        self,
        function: Callable[..., Any],
        context_name: str | None,
        make: Callable[..., Task],
        type: str,
        options: Options | None = None,
    ) -> None:
        self.function = function
        self.types = [type]
        self._context_name = context_name
        self._make = make
        self._options: Options = options or {}
        found = self._taken(function)
        self._signature = found.replace(
            parameters=[one for one in found.parameters.values() if one.name != context_name]
        )
        self._catch_all = next((p.name for p in found.parameters.values() if p.kind is p.VAR_KEYWORD), None)

    @staticmethod
    def _taken(function: Callable[..., Any]) -> inspect.Signature:
        """What ``task`` takes, beside the context."""
        return inspect.signature(function)

    def task(self, *args: Given.args, **kwargs: Given.kwargs) -> Task:
        """A task of the type; its payload is these arguments.

        Raises:
            InvalidTask: the function takes other arguments, or handles several types.
        """
        if len(self.types) > 1:
            names = ", ".join(self.types)
            raise InvalidTask("type", f"this function handles {names}: name one")
        return self._make(self._payload(args, kwargs), **self._options)

    def _payload(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the handler reads these arguments from."""
        try:
            payload = dict(self._signature.bind(*args, **kwargs).arguments)
        except TypeError as error:
            named = sorted(kwargs.keys() & Options.__annotations__.keys() - self._signature.parameters.keys())
            how = f"; a field of the task is given so: .options({named[0]}=...)" if named else ""
            raise InvalidTask("payload", f"{self.types[0]}: {error}{how}") from None
        if self._catch_all is not None:
            payload |= payload.pop(self._catch_all, {})
        return payload

    def options(self, **options: Unpack[Options]) -> Submission[Given]:
        """The same with these fields of ``Task``, which win over earlier ones and over the decorator's defaults."""
        together: Any = {**self._options, **options}
        made = type(self)(self.function, self._context_name, self._make, self.types[0], together)
        made.types = self.types
        return made


class BatchSubmission(Submission[[Payload]], Generic[Payload]):
    """One type of task that a batch handler runs; ``task`` takes the whole payload."""

    @staticmethod
    def _taken(function: Callable[..., Any]) -> inspect.Signature:
        return inspect.signature(_whole)

    def _payload(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return super()._payload(args, kwargs)["payload"]


def _whole(payload: Any) -> None:
    """Has the parameter of ``BatchSubmission.task``."""


def attach(function: Any, submission: Submission[Any]) -> None:
    """Give the function ``task`` and ``options``; one that takes no attributes (a bound method, say) stays as it is."""
    known = getattr(getattr(function, "task", None), "__self__", None)
    if isinstance(known, Submission) and known.function is function:
        known.types += submission.types
        return
    try:
        function.task = submission.task
        function.options = submission.options
    except AttributeError:
        return
