"""What a worker and a process of a handler say to each other: frames of MessagePack, each with its length before it.

Nothing is pickled: a payload crosses as the bytes that Redis holds, a result as JSON, an exception as its text.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from redsched.wire.claims import Started

LENGTH = struct.Struct("!I")


class Work(msgspec.Struct, frozen=True, tag=True):
    """Run a handler: the worker asks for it, one at a time."""

    path: list[str]  # of modules
    module: str
    name: str  # of the function in its module
    unknown: str
    started: Started


class Answer(msgspec.Struct, frozen=True, tag=True):
    """The worker's answer to an ``Ask``: JSON, or the name of an error and its words."""

    value: bytes
    error: str = ""
    text: str = ""


class Ask(msgspec.Struct, frozen=True, tag=True):
    """The handler's context asks the worker: ``progress``, ``parents`` or ``step``, with its words."""

    what: str
    name: str = ""
    value: bytes = b""


class Line(msgspec.Struct, frozen=True, tag=True):
    """The handler logged something."""

    logger: str
    level: int
    text: str
    traceback: str | None = None


class Returned(msgspec.Struct, frozen=True, tag=True):
    """The handler returned this. ``dropped``: why there is no JSON of it."""

    value: bytes
    dropped: str = ""


class Chose(msgspec.Struct, frozen=True, tag=True):
    """The handler returned or raised an outcome: its name, and its fields in order."""

    outcome: str
    fields: list[str | None]


class Raised(msgspec.Struct, frozen=True, tag=True):
    """The handler raised an exception."""

    kind: str
    text: str
    traceback: str


FromWorker = Work | Answer
FromHandler = Ask | Line | Returned | Chose | Raised
_to_worker = msgspec.msgpack.Decoder(FromHandler)
_to_handler = msgspec.msgpack.Decoder(FromWorker)
_encoder = msgspec.msgpack.Encoder()


def frame(message: Any) -> bytes:
    """A message as it is sent."""
    text = _encoder.encode(message)
    return LENGTH.pack(len(text)) + text


def from_handler(text: bytes) -> FromHandler:
    """What a process says."""
    return _to_worker.decode(text)


def from_worker(text: bytes) -> FromWorker:
    """What the worker says."""
    return _to_handler.decode(text)
