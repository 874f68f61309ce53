# Made by tools/unasync.py from redsched/client/aio/transport.py: change that, then `make sync-client`.
"""Calls from threads: how words reach Redis and replies come back. ``steps.exchange`` decides what is
repeated.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from redsched.client.connections import (
    ANSWERED,
    ENDING,
    LOST,
    MOST_SPARE,
    NONE_GIVEN,
    as_store_errors,
    is_elsewhere,
    refused_by,
)
from redsched.client.sync import runtime
from redsched.redis_url import masked_url
from redsched.settings import Settings
from redsched.steps import exchange
from redsched.steps.conversation import next_call
from redsched.steps.exchange import Chain, Command, Load, Mode
from redsched.steps.outage import Outage
from redsched.wire.call import Call
from redsched.wire.redis_errors import Refused, Unanswered, Unreached

T = TypeVar("T")


class Transport:
    """Sends calls from threads; each waits for its own answer."""

    def __init__(self, settings: Settings, name: str, given: Any = None) -> None:
        self._settings = settings
        self.timeout = settings.redis_timeout_ms / 1_000
        self._own = given is None
        self._url = masked_url(settings.redis_url) if self._own else ""  # for errors: where it connects to
        self._name = name
        if not self._own:
            self._pool = runtime.given_pool(given)
        self._start_anew()
        self.mode = Mode()

    def _start_anew(self) -> None:
        """Without a connection. After a fork the child begins again: its parent uses the connections, and another
        thread may have held the lock."""
        self._spare: list[tuple[float, Any]] = []  # connections with their last use
        self._asking = 0  # how many wait for the pool: to those goes what is free
        self._lock = runtime.Lock()
        self._outage = Outage()
        if self._own:
            self._pool = runtime.own_pool(self._settings, self._name)
        self._process = os.getpid()  # last: another thread of the child must not go on before

    def close(self) -> None:
        """Close every connection made here."""
        if self._process != os.getpid():
            self._start_anew()
        while self._spare:
            self._pool.release(self._spare.pop()[1])
        if self._own:
            self._pool.disconnect()

    def take(self) -> Any:
        """A connection for one round trip, to be given back; raises Refused or Unreached."""
        if self._process != os.getpid():
            self._start_anew()
        while self._spare:
            try:
                used, connection = self._spare.pop()
            except IndexError:  # another thread took the last one
                break
            if runtime.is_quiet(connection, used):
                return connection
            self._pool.release(connection)  # which connects it anew when it is needed
        with self._lock:
            self._asking += 1
        try:
            return runtime.connection_of(self._pool, self.timeout)
        except ANSWERED as error:
            raise refused_by(error) from None
        except NONE_GIVEN as error:
            raise Unreached(str(error) or "no connection in time", self._url) from None
        finally:
            with self._lock:
                self._asking -= 1

    def give_back(self, connection: Any) -> None:
        """Keep a connection for the next round trip, or leave it to those that wait for one."""
        if self._asking or len(self._spare) >= MOST_SPARE:
            self._pool.release(connection)
        else:
            self._spare.append((time.monotonic(), connection))

    def _trips(self, commands: Sequence[Command], timeout: float | None = None) -> list[Any]:
        """Commands in one round trip; a reply may be a Refused. Raises Unreached or Unanswered for all of them."""
        connection = self.take()
        found: list[Any] = []
        try:
            runtime.replies(connection, commands, found, self.timeout, timeout)
            if is_elsewhere(found):
                runtime.close(connection)
                self._forget()
            return found
        except ENDING as error:
            return found + [refused_by(error)] * (len(commands) - len(found))
        except LOST as error:
            runtime.close(connection)
            self._forget()
            return exchange.cut_short(found, len(commands), str(error) or type(error).__name__)
        except BaseException:
            runtime.close(connection)
            raise
        finally:
            self.give_back(connection)

    def _forget(self) -> None:
        """Close the connections that wait, for what broke one of them has probably broken all: each would cost a
        time-out of its own."""
        with contextlib.suppress(IndexError):  # another thread took the last one
            while self._spare:
                _, connection = self._spare.pop()
                runtime.close(connection)
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
                    runtime.sleep(action)
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

    def send(self, call: Call[T], *, retry_for: float | None = None) -> T:
        """Send a call of ``wire.protocol``, repeating it as far as that is safe, for so many seconds."""
        patience = self._settings.retry_for_ms / 1_000 if retry_for is None else retry_for
        steps = exchange.exchange(call, self.mode, self._outage, retry_for=patience, clock=time.monotonic)
        return self._run(steps)

    def command(self, *words: Any, timeout: float | None = None) -> Any:
        """One plain command, sent once; raises Unreached, Unanswered or Refused (``steps.exchange``)."""
        (reply,) = self._trips((words,), timeout)
        if isinstance(reply, Refused):
            raise reply
        return reply

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
