"""The program of a process that runs handlers for a worker, one after the other.

It ends when the worker closes the socket or is gone, even while a handler runs.
"""

from __future__ import annotations

import contextvars
import functools
import importlib
import logging
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar, cast

import msgspec

from redsched.engine import forks
from redsched.engine.context import Context
from redsched.engine.ending import MAX_RESULT_BYTES, failure, kind_of, not_run
from redsched.engine.handler import Handler, Unknown
from redsched.engine.process_messages import (
    LENGTH,
    Answer,
    Ask,
    Chose,
    FromHandler,
    Line,
    Raised,
    Returned,
    Work,
    frame,
    from_worker,
)
from redsched.engine.worker.handler_calls import prepare
from redsched.model.duration import duration_ms
from redsched.model.errors import LeaseLost
from redsched.model.outcome import Cancelled, Completed, Dead, Outcome, OutcomeChosen, Reject, Retry, Snooze
from redsched.model.workflows import Kin
from redsched.wire.claims import MAX_PROGRESS_BYTES, Step
from redsched.wire.codec import NO_JSON, answer_bytes, json_bytes

T = TypeVar("T")
ELSEWHERE = "is of the worker's process, and this handler runs in another one; give it what it needs in its payload"


class Channel:
    """The socket to the worker. What comes is read in a thread, so that the end of the worker is noticed at once."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._come: queue.SimpleQueue[Work | Answer] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, message: FromHandler) -> None:
        """Tell the worker."""
        with self._sending:
            self._connection.sendall(frame(message))

    def next(self) -> Work | Answer:
        """What the worker says next."""
        return self._come.get()

    def _read(self) -> NoReturn:
        try:
            while True:
                (length,) = LENGTH.unpack(self._exactly(LENGTH.size))
                self._come.put(from_worker(self._exactly(length)))
        finally:
            os._exit(1)

    def _exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            some = self._connection.recv(count - len(found))
            if not some:
                os._exit(0)
            found += some
        return bytes(found)


class ProcessContext(Context):
    """The context of a run in a process: it asks the worker for what only that can do."""

    __slots__ = ("_channel",)

    def __init__(self, work: Work, channel: Channel) -> None:
        super().__init__(work.started, cast(Any, None))  # not asked by what is replaced here
        self._channel = channel

    @property
    def state(self) -> Any:
        """Of the worker's process only."""
        raise RuntimeError(f"the state {ELSEWHERE}")

    @property
    def client(self) -> Any:
        """Of the worker's process only."""
        raise RuntimeError(f"the client {ELSEWHERE}")

    client_sync = client

    async def progress(self, value: Any) -> None:
        """As in a worker."""
        self._ask(Ask("progress", value=json_bytes("progress", value, MAX_PROGRESS_BYTES)))

    async def parents(self) -> list[Kin]:
        """As in a worker."""
        return msgspec.json.decode(self._ask(Ask("parents")), type=list[Kin])

    async def _step(self, step: str, value: bytes = b"") -> Step:
        word, kept = msgspec.json.decode(self._ask(Ask("step", step, value)), type=tuple[str, msgspec.Raw])
        return Step(word, self.cancel_requested, bytes(kept))

    async def _here(self, asked: Coroutine[Any, Any, T]) -> T:
        return await asked

    def _wait(self, asked: Coroutine[Any, Any, T], name: str) -> T:
        try:
            asked.send(None)
        except StopIteration as end:
            found: T = end.value
            return found
        raise RuntimeError(f"{name}_sync waits for what this process has not")

    def _ask(self, ask: Ask) -> bytes:
        if threading.current_thread() is not threading.main_thread():  # it may go on in the next run
            raise RuntimeError("only the handler's own thread can ask the worker")
        self._channel.send(ask)
        answer = self._channel.next()
        assert isinstance(answer, Answer)
        if answer.error == "LeaseLost":
            self.lease_lost = True
            raise LeaseLost(self.id, self.attempt)
        if answer.error == "Reject":
            reason, _, text = answer.text.partition(" ")
            raise Reject(text, reason=reason)
        if answer.error:
            raise RuntimeError(f"{answer.error}: {answer.text}")
        return answer.value


class Forwarding(logging.Handler):
    """Sends what handlers log to the worker, whose log it is for."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(logging.INFO)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line; what redsched itself says here the worker says, too."""
        if record.name.partition(".")[0] != "redsched":
            trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else None
            self._channel.send(Line(record.name, record.levelno, record.getMessage(), trace))


@functools.cache
def handler_of(module: str, name: str, type: str, unknown: str) -> Handler:
    """The handler that a worker names."""
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return Handler(found, type, cast(Unknown, unknown))


def run(work: Work, channel: Channel) -> FromHandler:
    """Call the handler; what it came to."""
    sys.path[:] = work.path
    try:
        handler = handler_of(work.module, work.name, work.started.type, work.unknown)
        arguments = prepare(handler, work.started, ProcessContext(work, channel))
        result = handler.function(**arguments)
        if why := not_run(result):
            raise TypeError(f"the handler returned {why}")
        return _chose(result) if isinstance(result, Outcome) else _returned(result)
    except OutcomeChosen as chosen:
        try:
            return _chose(chosen.outcome)
        except Exception as error:
            return _raised(error)
    except BaseException as error:
        return _raised(error)


def _returned(result: Any) -> Returned:
    if result is None:
        return Returned(b"")
    try:
        text = answer_bytes(result)
    except NO_JSON as error:
        return Returned(b"", kind_of(error))
    return Returned(text) if len(text) <= MAX_RESULT_BYTES else Returned(b"", f"{len(text)} bytes")


def _chose(outcome: Any) -> FromHandler:
    match outcome:
        case Completed(result=result):
            return _returned(result)
        case Retry(error=error, delay=delay, traceback=text):
            return Chose("Retry", [error, None if delay is None else f"{duration_ms(delay)}ms", text])
        case Snooze(delay=delay):
            return Chose("Snooze", [f"{duration_ms(delay)}ms"])
        case Dead(reason=reason, error=error, traceback=text):
            return Chose("Dead", [reason, error, text])
        case Cancelled(reason=reason):
            return Chose("Cancelled", [reason])
    raise TypeError("the outcome of an OutcomeChosen is none of Completed, Retry, Snooze, Dead and Cancelled")


def _raised(error: BaseException) -> Raised:
    told = failure(error)
    kind = kind_of(error)
    return Raised(kind, told.error.removeprefix(kind).removeprefix(": "), told.traceback)


def main(fd: int) -> None:
    """Serve the worker at the other end of this socket."""
    for number in (signal.SIGTERM, signal.SIGINT):  # a service manager sends them to all: the worker decides
        signal.signal(number, lambda *_: None)
    channel, pid = Channel(socket.socket(fileno=fd)), os.getpid()
    logging.basicConfig(level=logging.INFO, handlers=[Forwarding(channel)])
    while True:
        work = channel.next()
        assert isinstance(work, Work)
        said = contextvars.copy_context().run(run, work, channel)  # every run has a context of its own
        if os.getpid() != pid:  # the handler forked, and this is its child: it speaks for nobody
            forks.end_child(RuntimeError(said.text) if isinstance(said, Raised) else None)
        channel.send(said)
