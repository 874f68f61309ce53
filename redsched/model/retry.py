"""Retry policies: values only. The delay itself is computed in Lua, so that every language gets it.

On the wire a policy is one line of words: ``fixed 5000``, ``exponential 5000 2 3600000 0.2``
(base ms, factor, max ms, jitter) or ``list 1000 5000 60000``. In JSON it is an object with a ``kind``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from redsched.model.duration import duration_text, span_ms, span_of
from redsched.model.refused import kind_and_length

MAX_DELAY_MS = 31_536_000_000  # a year
MAX_STEPS = 100


class Fixed(msgspec.Struct, frozen=True, tag="fixed"):
    """Wait ``delay`` before each retry; up to a year."""

    delay: timedelta | str

    def wire(self) -> str:
        """``fixed <ms>``."""
        return f"fixed {_bounded('delay', self.delay)}"


class Exponential(msgspec.Struct, frozen=True, kw_only=True, tag="exponential"):
    """Wait base * factor**(n-1) before retry n, at most ``max``, then shifted by up to +-``jitter`` of itself.

    ``factor`` 1..10, ``jitter`` 0..1. The shifted delay may exceed ``max`` by the jitter; this keeps a
    herd apart that has reached the maximum.
    """

    base: timedelta | str = timedelta(seconds=5)
    factor: float = 2.0
    max: timedelta | str = timedelta(hours=1)
    jitter: float = 0.2

    def wire(self) -> str:
        """``exponential <base ms> <factor> <max ms> <jitter>``."""
        if not 1 <= self.factor <= 10:
            raise ValueError(f"factor {self.factor} is outside 1..10")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter {self.jitter} is outside 0..1")
        base, most = _bounded("base", self.base), _bounded("max", self.max)
        if base > most:
            raise ValueError(f"base {duration_text(base)} is longer than max {duration_text(most)}")
        return f"exponential {base} {_number(self.factor)} {most} {_number(self.jitter)}"


class Explicit(msgspec.Struct, frozen=True, tag="list"):
    """Wait ``delays[n-1]`` before retry n; the last one repeats. 1..100 delays."""

    delays: Sequence[timedelta | str]

    def wire(self) -> str:
        """``list <ms> <ms> ...``."""
        if not 1 <= len(self.delays) <= MAX_STEPS:
            raise ValueError(f"{len(self.delays)} delays; give 1..{MAX_STEPS}")
        return "list " + " ".join(str(_bounded("delays", delay)) for delay in self.delays)


RetryPolicy = Fixed | Exponential | Explicit
RetryGiven = RetryPolicy | Sequence[timedelta | str] | timedelta | str | None  # what a task's field ``retry`` may be


def retry_of(line: str) -> dict[str, Any]:
    """The policy of a wire form as JSON holds it, which ``policy_of`` reads.

    Raises:
        ValueError: it is none.
    """
    kind, *words = line.split() or [""]
    if kind == "fixed" and len(words) == 1:
        return {"kind": kind, "delay": int(words[0])}
    if kind == "list" and words:
        return {"kind": kind, "delays": [int(word) for word in words]}
    if kind == "exponential" and len(words) == 4:
        base, factor, most, jitter = words
        return {"kind": kind, "base": int(base), "factor": float(factor), "max": int(most), "jitter": float(jitter)}
    raise ValueError(f"{kind_and_length(line)} is no retry policy")


def retry_wire(value: RetryPolicy | Sequence[timedelta | str] | timedelta | str) -> str:
    """The wire form; a plain duration means ``Fixed``, a list means ``Explicit``.

    Raises:
        ValueError: a number outside its range.
    """
    if isinstance(value, Fixed | Exponential | Explicit):
        return value.wire()
    if isinstance(value, timedelta | str):
        return Fixed(value).wire()
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return Explicit(value).wire()
    raise ValueError("must be Fixed, Exponential, a list of delays, or one delay such as 5s or timedelta(seconds=5)")


def policy_of(value: Any) -> RetryGiven:
    """The policy that JSON asks for: ``{"kind": "fixed" | "exponential" | "list", ...}``, one delay or a list of them.

    Raises:
        ValueError: another kind, or fields that it does not have.
    """
    if isinstance(value, list):
        return [span_of(one) for one in value]
    if not isinstance(value, Mapping):
        return span_of(value)  # type: ignore[no-any-return]
    fields: dict[str, Any] = {name: policy_of(one) if name == "delays" else span_of(one) for name, one in value.items()}
    kinds: dict[str, type[RetryPolicy]] = {"fixed": Fixed, "exponential": Exponential, "list": Explicit}
    kind = kinds.get(str(fields.pop("kind", "")))
    if kind is None:
        raise ValueError("kind must be fixed, exponential or list")
    try:
        return kind(**fields)
    except TypeError as error:
        raise ValueError(str(error)) from None


def policy_document(value: Any) -> Any:
    """A policy as JSON holds it, which ``policy_of`` reads; any other value as it is."""
    if isinstance(value, Fixed | Exponential | Explicit):
        named = {name: getattr(value, name) for name in value.__struct_fields__}
        return {"kind": type(value).__struct_config__.tag, **named}
    return [value] if isinstance(value, timedelta) else value


def _bounded(name: str, value: timedelta | str) -> int:
    try:
        milliseconds = span_ms(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    if milliseconds > MAX_DELAY_MS:
        raise ValueError(f"{name} is longer than a year")
    return milliseconds


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
