"""A handler of many tasks at once: how its payloads are read, and what it says of each of them."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from redsched.engine.context import Context
from redsched.engine.handler import Handler, check_is_work, code_of, hints_of, is_json, mismatch
from redsched.engine.payload_schema import whole_schema
from redsched.engine.payload_types import reader_of
from redsched.model.duration import span_ms

MOST_SIZE = 1_000
LONGEST_LINGER_MS = 10_000
_LISTS = (list, collections.abc.Sequence, collections.abc.Collection, collections.abc.Iterable)
_SHAPE = "a batch handler takes one list: `batch: list[tuple[Context, Payload]]`"


class Batch(msgspec.Struct, frozen=True):
    """How tasks of a type are run together. ``linger_s``: seconds that a batch which is not full waits for more."""

    function: Callable[..., Any]
    is_async: bool
    size: int
    linger_s: float


def batch_of(function: Callable[..., Any], size: int, linger: timedelta | str) -> Batch:
    """Checks what ``App.batch`` was given.

    Raises:
        ValueError: size or linger is out of its range.
    """
    if not 1 <= size <= MOST_SIZE:
        raise ValueError(f"size {size} is not between 1 and {MOST_SIZE}")
    linger_ms = span_ms(linger)
    if not 0 <= linger_ms <= LONGEST_LINGER_MS:
        raise ValueError(f"linger {linger!r} is not between 0 and 10 s")
    return Batch(function, inspect.iscoroutinefunction(code_of(function)), size, linger_ms / 1_000)


async def _one(context: Context, payload: Any) -> Any:
    """The run of one task in a batch."""
    raise NotImplementedError  # every BatchHandler has a function of its own


class BatchHandler(Handler):
    """The handler of one task in a batch, to those that run it: its function waits for what the batch says of it.

    Raises:
        TypeError: the batch's function can never be called with a list of tasks.
    """

    def __init__(self, batch: Batch, type: str) -> None:
        annotation = _payload_type(batch.function)
        super().__init__(_one, type)
        self.batch = batch
        self.size = batch.size
        self.function = self._join
        try:
            self._reader = reader_of(annotation)
        except (TypeError, ValueError, NameError) as error:
            raise TypeError(f"{_name(batch.function)}: the payloads of its list: {error}") from None

    def arguments(self, payload: bytes, content_type: str | None = None) -> dict[str, Any]:
        """The whole payload, as the type that the list names; raises PayloadMismatch."""
        try:
            if content_type is not None and not is_json(content_type):
                return {"payload": self._reader.of_bytes(payload)}
            return {"payload": self._reader.decode(payload)}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise mismatch(error) from None

    def _schema(self) -> dict[str, Any] | None:
        return whole_schema(self._reader)

    async def _join(self, context: Context, payload: Any) -> Any:
        return await context.batches.join(context, self.batch, payload)


def _payload_type(function: Callable[..., Any]) -> Any:
    """Of ``batch: list[tuple[Context, Payload]]`` the payload; Any where nothing is annotated."""
    name = _name(function)
    check_is_work(function)
    parameters = list(inspect.signature(function).parameters.values())
    needed = [one for one in parameters if one.default is one.empty]
    if len(needed) != 1 or needed[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise TypeError(f"{name}: {_SHAPE}")
    annotation = hints_of(code_of(function), name).get(needed[0].name, Any)
    if annotation in (Any, list, Sequence):
        return Any
    of_list = typing.get_args(annotation)
    if typing.get_origin(annotation) not in _LISTS or len(of_list) != 1:
        raise TypeError(f"{name}: parameter {needed[0].name!r}: {_SHAPE}")
    if of_list[0] is Any:
        return Any
    of_pair = typing.get_args(of_list[0])
    if typing.get_origin(of_list[0]) is not tuple or len(of_pair) != 2 or of_pair[0] is not Context:
        raise TypeError(f"{name}: parameter {needed[0].name!r}: {_SHAPE}")
    return of_pair[1]


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))


def outcomes_of(returned: Any, count: int) -> list[Any]:
    """What a batch handler said of each of its tasks: a value, an outcome or an exception. None stands for all: they
    are completed. Whoever it said nothing of has a TypeError."""
    if returned is None:
        return [None] * count
    if not isinstance(returned, Sequence) or isinstance(returned, str | bytes | bytearray):
        kind = type(returned).__name__
        return [TypeError(f"the batch handler returned {kind!r}; it answers a list, an outcome for each task")] * count
    told = f"the batch handler answered {len(returned)} outcomes for {count} tasks"
    if len(returned) > count:
        return [TypeError(f"{told}, so nobody knows which is whose")] * count
    missing = TypeError(f"{told}, and none for this one")
    return [*returned, *[missing] * (count - len(returned))]
