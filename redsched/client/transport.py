"""Calls from threads: how words reach Redis and replies come back. ``steps.exchange`` decides what is repeated."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.connection import AbstractConnection

from redsched.client import pools
from redsched.client.connections import (
    ANSWERED,
    ENDING,
    LOST,
    MOST_SPARE,
    as_store_errors,
    is_elsewhere,
    packed,
    refused_by,
)
from redsched.settings import Settings
from redsched.steps import exchange
from redsched.steps.conversation import next_call
from redsched.steps.exchange import Chain, Command, Load, Mode
from redsched.wire.call import Call
from redsched.wire.redis_errors import Refused, Unanswered, Unreached

T = TypeVar("T")
JUST_USED = 0.1  # seconds within which a connection is not asked whether it is still open: that costs a system call


def _is_quiet(connection: AbstractConnection, used: float) -> bool:
    """Whether it is open and nothing has come that nobody asked for. ``used``: by ``time.monotonic()``."""
    try:
        return connection.is_connected and (time.monotonic() - used < JUST_USED or not connection.can_read())
    except (redis.RedisError, OSError):
        return False


class Transport:
    """Sends calls from threads; each waits for its own answer."""

    def __init__(self, settings: Settings, name: str, given: Any = None) -> None:
        self._settings = settings
        self._own = given is None
        self._name = name
        if not self._own:
            self._pool = pools.given(given)
        self._start_anew()
        self.mode = Mode()

    def _start_anew(self) -> None:
        """Without a connection. After a fork the child begins again: its parent uses the connections, and another
        thread may have held the locks."""
        self._spare: list[tuple[float, AbstractConnection]] = []  # with its last use
        self._asking = 0  # threads that wait for the pool: to those goes what is free
        self._lock = threading.Lock()
        if self._own:
            self._pool = pools.made(self._settings, self._name)
        self._process = os.getpid()  # last: another thread of the child must not go on before

    def close(self) -> None:
        """Close every connection made here."""
        if self._process != os.getpid():
            self._start_anew()
        while self._spare:
            self._pool.release(self._spare.pop()[1])
        if self._own:
            self._pool.disconnect()

    def _take(self) -> AbstractConnection:
        if self._process != os.getpid():
            self._start_anew()
        with contextlib.suppress(IndexError):  # another thread took the last one
            while self._spare:
                used, connection = self._spare.pop()
                if _is_quiet(connection, used):
                    return connection
                self._pool.release(connection)  # which connects it anew when it is needed
        with self._lock:
            self._asking += 1
        try:
            return self._pool.get_connection()  # type: ignore[no-any-return]
        finally:
            with self._lock:
                self._asking -= 1

    def _give_back(self, connection: AbstractConnection) -> None:
        if self._asking or len(self._spare) >= MOST_SPARE:
            self._pool.release(connection)
        else:
            self._spare.append((time.monotonic(), connection))

    def _trips(self, commands: Sequence[Command]) -> list[Any]:
        """Commands in one round trip; a reply may be a Refused. Raises Unreached or Unanswered for all of them."""
        try:
            connection = self._take()
        except ANSWERED as error:
            raise refused_by(error) from None
        except redis.RedisError as error:
            raise Unreached(str(error)) from None
        found: list[Any] = []
        try:
            connection.send_packed_command(packed(commands), check_health=False)  # type: ignore[no-untyped-call]
            for _ in commands:
                try:
                    found.append(connection.read_response())
                except redis.ResponseError as error:
                    found.append(refused_by(error))
            if is_elsewhere(found):
                connection.disconnect()  # type: ignore[no-untyped-call]
                self._forget()
            return found
        except ENDING as error:
            return found + [refused_by(error)] * (len(commands) - len(found))
        except LOST as error:
            connection.disconnect()  # type: ignore[no-untyped-call]
            self._forget()
            return exchange.cut_short(found, len(commands), str(error) or type(error).__name__)
        except BaseException:
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise
        finally:
            self._give_back(connection)

    def _forget(self) -> None:
        """Close the connections that wait, for what broke one of them has probably broken all: each would cost a
        time-out of its own."""
        with contextlib.suppress(IndexError):
            while self._spare:
                _, connection = self._spare.pop()
                connection.disconnect()  # type: ignore[no-untyped-call]
                self._pool.release(connection)
        if self._own:
            self._pool.disconnect(inuse_connections=False)

    def _run(self, steps: Generator[Any, Any, T]) -> T:
        """Drive a conversation of ``steps.exchange`` to its result."""
        reply: Any = None
        trouble: Exception | None = None
        while True:
            try:
                action = steps.send(reply) if trouble is None else steps.throw(trouble)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            reply, trouble = None, None
            try:
                if isinstance(action, float):
                    time.sleep(action)
                elif isinstance(action, Load):
                    self._run(exchange.load(self.mode))
                elif isinstance(action, Chain):
                    reply = self._trips(action.commands)
                else:
                    (reply,) = self._trips((action,))
                    if isinstance(reply, Refused):
                        reply, trouble = None, reply
            except (Unreached, Unanswered, Refused) as error:
                trouble = error

    def send(self, call: Call[T]) -> T:
        """Send a call of ``wire.protocol``, repeating it as far as that is safe."""
        return self._run(
            exchange.exchange(call, self.mode, retry_for=self._settings.retry_for_ms / 1_000, clock=time.monotonic)
        )

    def converse(self, steps: Generator[Call[Any], Any, T]) -> T:
        """What a conversation of calls returns; each call is sent as ``send`` sends it."""
        reply: Any = None
        while True:
            call, found = next_call(steps, reply)
            if call is None:
                return found  # type: ignore[no-any-return]
            reply = self.send(call)

    def steps(self, verb: str, steps: Generator[Any, Any, T]) -> T:
        """Drive a conversation of ``steps.install``; its commands are sent once."""
        with as_store_errors(verb):
            return self._run(steps)
