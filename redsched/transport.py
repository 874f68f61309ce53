"""Connections: how words reach Redis and replies come back, for threads and for asyncio. With ``pools`` the only
importer of redis-py, whose own retries are off: what is repeated, and when, ``wire.exchange`` decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

import hiredis
import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection as AsyncConnection
from redis.connection import AbstractConnection

from redsched import pools
from redsched.settings import Settings
from redsched.wire import exchange, redis_errors
from redsched.wire.exchange import Chain, Command, Load, Mode
from redsched.wire.protocol import Call
from redsched.wire.redis_errors import Refused, Unanswered, Unreached

T = TypeVar("T")
_LOST = (redis.ConnectionError, redis.TimeoutError, OSError, EOFError, AttributeError, RuntimeError)
# on a connection that was closed under it redis-py raises AttributeError and uvloop RuntimeError: an answer lost, too
MOST_SPARE = 8  # connections kept at hand: redis-py's pool takes as long as a command to give one and take it back
JUST_USED = 0.1  # seconds within which a connection is not asked whether it is still open: that costs a system call
_KEPT_OUT = (redis.AuthenticationError, redis.exceptions.AuthorizationError)
# answers of the server, some of which redis-py takes for lost connections
_ENDING = (redis.BusyLoadingError, *_KEPT_OUT)  # after which redis-py closes the connection
_ANSWERED = (redis.ResponseError, *_ENDING)


def _refused(error: Exception) -> Refused:
    """With the first word of Redis's text, which redis-py takes away from the errors it knows."""
    code = getattr(error, "status_code", None)
    if code is None and isinstance(error, redis.BusyLoadingError):
        code = "LOADING"
    elif code is None and isinstance(error, _KEPT_OUT):
        code = "NOAUTH"
    return Refused(f"{code} {error}" if code else str(error))


def _packed(commands: Sequence[Command]) -> list[bytes]:
    """The bytes of commands; by hiredis, for redis-py's asyncio connection packs in Python, at a third of a worker."""
    return [hiredis.pack_command(tuple(command)) for command in commands]  # type: ignore[arg-type]


def _is_quiet(connection: AbstractConnection, used: float) -> bool:
    """Whether it is open and nothing has come that nobody asked for. ``used``: by ``time.monotonic()``."""
    try:
        return connection.is_connected and (time.monotonic() - used < JUST_USED or not connection.can_read())
    except (redis.RedisError, OSError):
        return False


def _is_elsewhere(found: Sequence[Any]) -> bool:
    """Whether a server answers that is no primary any more: the way may lead to another by now."""
    return any(isinstance(reply, Refused) and str(reply).startswith("READONLY") for reply in found)


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
        except _ANSWERED as error:
            raise _refused(error) from None
        except redis.RedisError as error:
            raise Unreached(str(error)) from None
        found: list[Any] = []
        try:
            connection.send_packed_command(_packed(commands), check_health=False)  # type: ignore[no-untyped-call]
            for _ in commands:
                try:
                    found.append(connection.read_response())
                except redis.ResponseError as error:
                    found.append(_refused(error))
            if _is_elsewhere(found):
                connection.disconnect()  # type: ignore[no-untyped-call]
                self._forget()
            return found
        except _ENDING as error:
            return found + [_refused(error)] * (len(commands) - len(found))
        except _LOST as error:
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
        """Drive a conversation of ``wire.exchange`` to its result."""
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

    def steps(self, verb: str, steps: Generator[Any, Any, T]) -> T:
        """Drive a conversation of ``wire.install``; its commands are sent once."""
        with _told(verb):
            return self._run(steps)


class AsyncTransport:
    """Sends calls from one event loop."""

    def __init__(self, settings: Settings, name: str, given: Any = None) -> None:
        self._settings = settings
        self._timeout = settings.redis_timeout_ms / 1_000
        self._own = given is None
        self._name = name
        if not self._own:
            self._pool = pools.given_async(given)
        self._start_anew()
        self.mode = Mode()

    def _start_anew(self) -> None:
        """Without a connection; after a fork the child begins again, for its parent uses the connections."""
        self._spare: list[AsyncConnection] = []
        self._asking = 0  # those that wait for the pool: to them goes what is free
        if self._own:
            self._pool = pools.made_async(self._settings, self._name)
        self._process = os.getpid()

    async def close(self) -> None:
        """Close every connection made here."""
        while self._spare:
            await self._pool.release(self._spare.pop())
        if self._own:
            await self._pool.disconnect()

    async def _connection(self) -> AsyncConnection:
        if self._process != os.getpid():
            self._start_anew()
        while self._spare:
            connection = self._spare.pop()
            with contextlib.suppress(redis.RedisError, OSError):
                if connection.is_connected and not await connection.can_read():
                    return connection
            await self._pool.release(connection)  # which connects it anew when it is needed
        self._asking += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await self._pool.get_connection()  # type: ignore[no-any-return]
        except _ANSWERED as error:
            raise _refused(error) from None
        except (redis.RedisError, TimeoutError) as error:
            raise Unreached(str(error) or "no connection in time") from None
        finally:
            self._asking -= 1

    async def _give_back(self, connection: AsyncConnection) -> None:
        if self._asking or len(self._spare) >= MOST_SPARE:
            await self._pool.release(connection)
        else:
            self._spare.append(connection)

    async def _trips(self, commands: Sequence[Command], timeout: float) -> list[Any]:
        """Commands in one round trip; a reply may be a Refused. Raises Unreached or Unanswered for all of them."""
        connection = await self._connection()
        found: list[Any] = []
        try:
            async with asyncio.timeout(timeout):
                await connection.send_packed_command(_packed(commands), check_health=False)
                for _ in commands:
                    try:
                        found.append(await connection.read_response())
                    except redis.ResponseError as error:
                        found.append(_refused(error))
            if _is_elsewhere(found):
                await connection.disconnect(nowait=True)
                await self._forget()
            return found
        except _ENDING as error:
            return found + [_refused(error)] * (len(commands) - len(found))
        except (*_LOST, TimeoutError) as error:
            await connection.disconnect(nowait=True)
            await self._forget()
            return exchange.cut_short(found, len(commands), str(error) or f"no answer within {timeout:g} s")
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._give_back(connection)

    async def _forget(self) -> None:
        """Close the connections that wait, for what broke one of them has probably broken all: each would cost a
        time-out of its own."""
        while self._spare:
            connection = self._spare.pop()
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)
        if self._own:
            await self._pool.disconnect(inuse_connections=False)

    async def _run(self, steps: Generator[Any, Any, T]) -> T:
        """Drive a conversation of ``wire.exchange`` to its result."""
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
                    await asyncio.sleep(action)
                elif isinstance(action, Load):
                    await self._run(exchange.load(self.mode))
                elif isinstance(action, Chain):
                    reply = await self._trips(action.commands, self._timeout)
                else:
                    (reply,) = await self._trips((action,), self._timeout)
                    if isinstance(reply, Refused):
                        reply, trouble = None, reply
            except (Unreached, Unanswered, Refused) as error:
                trouble = error

    async def send(self, call: Call[T], *, retry_for: float | None = None) -> T:
        """Send a call of ``wire.protocol``, repeating it as far as that is safe, for so many seconds."""
        patience = self._settings.retry_for_ms / 1_000 if retry_for is None else retry_for
        return await self._run(exchange.exchange(call, self.mode, retry_for=patience, clock=time.monotonic))

    async def send_both(self, first: Call[T], second: Call[Any]) -> tuple[T, Any]:
        """Two repeatable calls in one round trip; whichever has no answer is sent again by itself."""
        if not self.mode.loaded:
            return await self.send(first), await self.send(second)
        try:
            found = await self._trips((self.mode.command(first), self.mode.command(second)), self._timeout)
        except (Unreached, Unanswered, Refused):
            return await self.send(first), await self.send(second)
        return (
            await self.send(first) if isinstance(found[0], Refused) else exchange.read_answer(first, found[0]),
            await self.send(second) if isinstance(found[1], Refused) else exchange.read_answer(second, found[1]),
        )

    async def command(self, *words: Any, timeout: float | None = None) -> Any:
        """One plain command, sent once; raises Unreached, Unanswered or Refused (``wire.exchange``)."""
        (reply,) = await self._trips((words,), self._timeout if timeout is None else timeout)
        if isinstance(reply, Refused):
            raise reply
        return reply

    async def watch(self, prefixes: Sequence[str], changed: Callable[[list[bytes] | None], None]) -> None:
        """Call ``changed`` with the keys below ``prefixes`` that anybody wrote, until the connection ends.

        Needs CLIENT TRACKING in broadcast mode, redirected to the same RESP2 connection; told with None when
        armed, and when everything was flushed.

        Raises:
            Refused: the server cannot do this.
            Unreached, Unanswered: the connection could not be made, or ended.
        """
        connection = await self._connection()
        try:
            async with asyncio.timeout(self._timeout):
                await connection.send_command("CLIENT", "ID", check_health=False)
                own = await connection.read_response()
                arm = ["CLIENT", "TRACKING", "ON", "REDIRECT", own, "BCAST"]
                for prefix in prefixes:
                    arm += ("PREFIX", prefix)
                await connection.send_command(*arm, check_health=False)
                await connection.read_response()
                await connection.send_command("SUBSCRIBE", "__redis__:invalidate", check_health=False)
                await connection.read_response()
            changed(None)
            while True:
                reply = await connection.read_response()
                if reply and reply[0] == b"message":
                    changed(reply[2] or None)  # nothing named: everything was flushed
        except _ANSWERED as error:
            raise _refused(error) from None
        except (*_LOST, TimeoutError) as error:
            raise Unanswered(str(error) or "the connection ended") from None
        finally:
            with contextlib.suppress(*_LOST):
                await connection.disconnect(nowait=True)  # tracking and subscription end with it
            await self._pool.release(connection)

    async def steps(self, verb: str, steps: Generator[Any, Any, T]) -> T:
        """Drive a conversation of ``wire.install``; its commands are sent once."""
        with _told(verb):
            return await self._run(steps)


@contextlib.contextmanager
def _told(verb: str) -> Generator[None]:
    """Troubles of plain commands as errors of the tree."""
    try:
        yield
    except Refused as refused:
        raise redis_errors.refusal(verb, str(refused)) from None
    except (Unreached, Unanswered) as trouble:
        raise redis_errors.unavailable(verb, str(trouble)) from None
