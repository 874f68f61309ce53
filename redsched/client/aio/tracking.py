"""What anybody writes below some prefixes, told at once. For movers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from redsched.client.aio.transport import AsyncTransport
from redsched.client.connections import ANSWERED, LOST, refused_by
from redsched.wire.redis_errors import Unanswered


async def watch(
    transport: AsyncTransport, prefixes: Sequence[str], changed: Callable[[list[bytes] | None], None]
) -> None:
    """Call ``changed`` with the keys below ``prefixes`` that anybody wrote, until the connection ends.

    Needs CLIENT TRACKING in broadcast mode, redirected to the same RESP2 connection; told with None when armed, and
    when everything was flushed.

    Raises:
        Refused: the server cannot do this.
        Unreached, Unanswered: the connection could not be made, or ended.
    """
    connection = await transport.take()
    try:
        async with asyncio.timeout(transport.timeout):
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
        await transport.give_back(connection)
