"""What both transports know of redis-py's connections: which errors are answers, and which a lost connection."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import Any

import hiredis
import redis

from redsched.steps.exchange import Command
from redsched.wire import redis_errors
from redsched.wire.redis_errors import Refused, Unanswered, Unreached

LOST = (redis.ConnectionError, redis.TimeoutError, OSError, EOFError, AttributeError, RuntimeError)
# on a connection that was closed under it redis-py raises AttributeError and uvloop RuntimeError: an answer lost, too
MOST_SPARE = 8  # connections kept at hand: redis-py's pool takes as long as a command to give one and take it back
KEPT_OUT = (redis.AuthenticationError, redis.exceptions.AuthorizationError)
# answers of the server, some of which redis-py takes for lost connections
ENDING = (redis.BusyLoadingError, *KEPT_OUT)  # after which redis-py closes the connection
ANSWERED = (redis.ResponseError, *ENDING)
NONE_GIVEN = (redis.RedisError, TimeoutError)  # of a pool that has no connection, or could not make one


def refused_by(error: Exception) -> Refused:
    """With the first word of Redis's text, which redis-py takes away from the errors it knows."""
    code = getattr(error, "status_code", None)
    if code is None and isinstance(error, redis.BusyLoadingError):
        code = "LOADING"
    elif code is None and isinstance(error, KEPT_OUT):
        code = "NOAUTH"
    return Refused(f"{code} {error}" if code else str(error))


def packed(commands: Sequence[Command]) -> list[bytes]:
    """The bytes of commands; by hiredis, for redis-py's asyncio connection packs in Python, at a third of a worker."""
    return [hiredis.pack_command(tuple(command)) for command in commands]  # type: ignore[arg-type]


def is_elsewhere(found: Sequence[Any]) -> bool:
    """Whether a server answers that is no primary any more: the way may lead to another by now."""
    return any(isinstance(reply, Refused) and str(reply).startswith("READONLY") for reply in found)


@contextlib.contextmanager
def as_store_errors(verb: str) -> Generator[None]:
    """Troubles of plain commands as errors of the tree."""
    try:
        yield
    except Refused as refused:
        raise redis_errors.refusal(verb, str(refused)) from None
    except (Unreached, Unanswered) as trouble:
        raise redis_errors.unavailable(verb, trouble) from None
