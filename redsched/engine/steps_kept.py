"""What is kept of a step that ``Context.once`` took: its JSON, and the errors of what cannot be kept.

Each error ends the task as dead, for a step that has been taken and is not kept would be taken again in every run.
"""

from __future__ import annotations

from typing import Any

from redsched.engine.ending import kind_of
from redsched.engine.payload_types import reader_of
from redsched.model.outcome import Reject
from redsched.wire.codec import NO_JSON, answer_bytes

REASON = "step"


def kept_text(step: str, result: Any) -> bytes:
    """What a step returned, as JSON; raises Reject where that is none."""
    try:
        return answer_bytes(result)
    except NO_JSON as error:
        problem = f"what it returned cannot be written as JSON: {error}"
        raise Reject(f"step {step!r} was taken, and is not kept: {problem}", reason=REASON) from None


def kept_value(step: str, text: bytes, returns: Any) -> Any:
    """What is kept, as a value of this type; raises Reject where it is none."""
    try:
        return reader_of(returns).decode(text)
    except Exception as error:  # a type's own checks among them
        problem = f"what is kept of it is no {getattr(returns, '__name__', returns)} ({kind_of(error)}: {error})"
        raise Reject(f"step {step!r} was taken: {problem}", reason=REASON) from None


def does_not_fit(step: str, value: bytes) -> Reject:
    """The error of a step for which there is no place; ``value``: what it returned, if it has been taken."""
    taken = f"was taken, and is not kept: it returned {len(value)} bytes of JSON" if value else "was not taken"
    return Reject(f"step {step!r} {taken}; a task keeps 100 steps, and 64 KiB of them in all", reason=REASON)
