"""Processes: those in which a worker's handlers run that ask for it. A process is used again after a run that ended by
itself. A run that is stopped takes its process with it, and all that the handler has started there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import msgspec

from redsched.engine.context import Context
from redsched.engine.process_handler import ProcessHandler
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
    from_handler,
)
from redsched.model.errors import LeaseLost
from redsched.model.outcome import Cancelled, Dead, Outcome, Reject, Retry, Snooze
from redsched.wire.codec import json_encoder

log = logging.getLogger("redsched.worker")
PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from redsched.engine.process_child import main; main(int(sys.argv[1]))"
)
ENDS_S = 5.0  # in which a process that closed its socket is gone
KILLED_S = 0.2  # in which one that was killed is; who takes longer is cleared away with the next
_OUTCOMES: dict[str, Any] = {"Retry": Retry, "Snooze": Snooze, "Dead": Dead, "Cancelled": Cancelled}


class ProcessDied(Exception):
    """The process of a handler ended before the handler did: it crashed, or somebody killed it."""


class RaisedInProcess(Exception):
    """What a handler raised in its process. Its class has the name of the exception's own class."""


class _Traceback(Exception):
    """Shows where an exception was raised that another process raised."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Process:
    """One process, which runs one handler at a time."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(theirs.fileno()), msgspec.json.encode(sys.path).decode()],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    async def send(self, message: Any) -> None:
        """Tell the process; nothing where it is gone, for the next answer tells that."""
        with contextlib.suppress(ConnectionError):
            await asyncio.get_running_loop().sock_sendall(self._socket, frame(message))

    async def receive(self) -> FromHandler:
        """What it says next; raises ProcessDied."""
        (length,) = LENGTH.unpack(await self._exactly(LENGTH.size))
        return from_handler(await self._exactly(length))

    async def _exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            try:
                some = await asyncio.get_running_loop().sock_recv(self._socket, count - len(found))
            except ConnectionError:
                some = b""
            if not some:
                raise ProcessDied(await self._how_it_ended())
            found += some
        return bytes(found)

    async def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = await asyncio.to_thread(self._process.wait, ENDS_S)
            if code < 0:
                with contextlib.suppress(ValueError):
                    return f"the handler's process was ended by {signal.Signals(-code).name}"
            return f"the handler's process ended with exit code {code}, and the handler had not"
        return "the handler's process closed its connection, and the handler had not ended"

    def kill(self) -> None:
        """End it, and what its handler has started."""
        self._socket.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILLED_S)


class Processes:
    """The processes of one worker, made when they are first needed."""

    def __init__(self) -> None:
        self._idle: list[Process] = []
        self._busy: set[Process] = set()

    async def call(self, context: Context, handler: ProcessHandler) -> Any:
        """Run a handler; answers what it returned, as JSON tells it, or the outcome that it chose.

        Raises:
            RaisedInProcess: the handler raised an exception.
            ProcessDied: its process ended before.
        """
        process = self._idle.pop() if self._idle else Process()
        self._busy.add(process)
        try:
            work = Work(sys.path, handler.module, handler.name, handler.unknown, context.started)
            await process.send(work)
            while True:
                said = await process.receive()
                if isinstance(said, Ask):
                    await process.send(await _answer(context, said))
                elif isinstance(said, Line):
                    _log(said)
                else:
                    break
        except BaseException:  # it may still run: it is of no more use
            self._busy.discard(process)
            process.kill()
            raise
        self._busy.discard(process)
        self._idle.append(process)
        return _result(context, said)

    def close(self) -> None:
        """End all of them."""
        for process in (*self._idle, *self._busy):
            process.kill()
        self._idle.clear()
        self._busy.clear()


async def _answer(context: Context, ask: Ask) -> Answer:
    """What the worker's context says to that of the handler."""
    try:
        match ask.what:
            case "progress":
                await context.progress(msgspec.Raw(ask.value))
                return Answer(b"null")
            case "parents":
                return Answer(msgspec.json.encode(await context.parents()))
            case _:
                step = await context.take_step(ask.name, ask.value)
                return Answer(json_encoder.encode((step.word, msgspec.Raw(step.value or b"null"))))
    except LeaseLost:
        return Answer(b"", "LeaseLost")
    except Reject as error:
        outcome = error.outcome
        assert isinstance(outcome, Dead)
        return Answer(b"", "Reject", f"{outcome.reason} {outcome.error}")
    except Exception as error:
        return Answer(b"", type(error).__name__, str(error))


def _log(line: Line) -> None:
    logger = logging.getLogger(line.logger)
    if logger.isEnabledFor(line.level):
        record = logger.makeRecord(line.logger, line.level, "", 0, "%s", (line.text,), None)
        record.exc_text = line.traceback
        logger.handle(record)


def _result(context: Context, said: Returned | Chose | Raised) -> Any:
    match said:
        case Returned(value=value, dropped=dropped):
            if dropped:
                log.warning(
                    "task.result_dropped", extra={"queue": context.queue, "task_id": context.id, "error": dropped}
                )
            return msgspec.json.decode(value) if value else None
        case Chose(outcome=name, fields=fields):
            outcome: Outcome = _OUTCOMES[name](*fields)
            return outcome
        case Raised(kind=kind, text=text, traceback=trace):
            error: BaseException = type(kind, (RaisedInProcess,), {})(text)
            error.__cause__ = _Traceback(trace)
            raise error
