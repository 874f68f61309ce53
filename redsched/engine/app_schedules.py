"""The schedules that an application's task types carry, put into Redis by each worker that starts."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from redsched.client import AsyncClient
from redsched.model.errors import InvalidSchedule, StoreDenied
from redsched.model.schedule import Schedule

log = logging.getLogger("redsched.worker")


async def put_schedules(client: AsyncClient, schedules: Sequence[Schedule]) -> None:
    """Put them; what is there already stays. One that is over, say, is told of and holds nothing up."""
    for schedule in schedules:
        try:
            answer = await client.schedules.put(schedule)
        except (InvalidSchedule, StoreDenied) as error:
            log.error("schedule.refused", extra={"schedule": schedule.id, "error": str(error)})
        else:
            log.info("schedule.put", extra={"schedule": answer.id, "status": answer.status, "rev": answer.rev})
