"""Groups: the consumer groups of a worker's queues, without which nothing can wait for their entries."""

from __future__ import annotations

from collections.abc import Sequence

from redsched.client import AsyncClient
from redsched.engine.isolation import Refusals
from redsched.model.errors import StoreError, StoreRefused
from redsched.steps import queues as queue_steps
from redsched.wire.keys import QueueKeys
from redsched.wire.redis_errors import refusal


async def join(client: AsyncClient, queues: Sequence[QueueKeys], refusals: Refusals) -> None:
    """Make the groups of queues; those that Redis refuses are left out and tried again later."""
    problems = await client.transport.steps("join", queue_steps.join(queues, client.cell_keys))
    for keys in queues:
        problem = problems.get(keys.queue)
        if problem is None:
            refusals.accept(keys.queue)
        else:
            error = refusal("join", problem)
            refusals.refuse(keys.queue, error if isinstance(error, StoreError) else StoreRefused("join", problem))
