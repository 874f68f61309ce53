"""Calls from one event loop: how words reach Redis and replies come back. ``steps.exchange`` decides what is
repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection as AsyncConnection

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
from redsched.client.transport import T
from redsched.settings import Settings
from redsched.steps import exchange
from redsched.steps.conversation import next_call
from redsched.steps.exchange import Chain, Command, Load, Mode
from redsched.wire.call import Call
from redsched.wire.redis_errors import Refused, Unanswered, Unreached


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
        except ANSWERED as error:
            raise refused_by(error) from None
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
                await connection.send_packed_command(packed(commands), check_health=False)
                for _ in commands:
                    try:
                        found.append(await connection.read_response())
                    except redis.ResponseError as error:
                        found.append(refused_by(error))
            if is_elsewhere(found):
                await connection.disconnect(nowait=True)
                await self._forget()
            return found
        except ENDING as error:
            return found + [refused_by(error)] * (len(commands) - len(found))
        except (*LOST, TimeoutError) as error:
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

    async def command(self, *words: Any, timeout: float | None = None) -> Any:
        """One plain command, sent once; raises Unreached, Unanswered or Refused (``steps.exchange``)."""
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
        except ANSWERED as error:
            raise refused_by(error) from None
        except (*LOST, TimeoutError) as error:
            raise Unanswered(str(error) or "the connection ended") from None
        finally:
            with contextlib.suppress(*LOST):
                await connection.disconnect(nowait=True)  # tracking and subscription end with it
            await self._pool.release(connection)

    async def converse(self, steps: Generator[Call[Any], Any, T], *, in_thread: bool = False) -> T:
        """What a conversation of calls returns. ``in_thread``: its own work would hold up the event loop."""
        reply: Any = None
        while True:
            call, found = await asyncio.to_thread(next_call, steps, reply) if in_thread else next_call(steps, reply)
            if call is None:
                return found  # type: ignore[no-any-return]
            reply = await self.send(call)

    async def steps(self, verb: str, steps: Generator[Any, Any, T]) -> T:
        """Drive a conversation of ``steps.install``; its commands are sent once."""
        with as_store_errors(verb):
            return await self._run(steps)
