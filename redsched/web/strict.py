"""``?strict=true``: a task whose type no worker has put, or whose payload does not fit it, is refused."""

from __future__ import annotations

from collections.abc import Sequence

from redsched.client import AsyncClient
from redsched.model.errors import InvalidSetting
from redsched.model.task import Task
from redsched.web.aside import Aside
from redsched.web.problems import Problem


async def learn(client: AsyncClient, tasks: Sequence[Task], strict: bool) -> list[str]:
    """Get to know the types of tasks. Answers names of types that may have been meant where a strict request names one
    that is unknown.

    Raises:
        Problem: strict_unavailable.
    """
    if not strict:
        await client.before_enqueue(tasks)
        return []
    try:
        await client.learn(tasks, schemas=True)
    except InvalidSetting as error:
        raise Problem("strict_unavailable", error.problem) from None
    return [one.name for one in (await client.types(limit=200)).items] if client.known_types.lacks(tasks) else []


async def ready(client: AsyncClient, aside: Aside, size: int, tasks: Sequence[Task], strict: bool) -> None:
    """Before tasks are enqueued; ``size``: bytes of the body.

    Raises:
        InvalidTask: the request is strict, and one of them is refused; nothing was written.
    """
    meant = await learn(client, tasks, strict)
    if strict:
        await aside.run(size, client.known_types.check, tasks, meant)
