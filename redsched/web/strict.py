"""``?strict=true``: a task, or the task of a schedule or a rule, whose type no worker has put or whose payload does not
fit it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from redsched.client import AsyncClient
from redsched.model.errors import InvalidSetting
from redsched.model.events import Rule
from redsched.model.task import Task
from redsched.web.aside import Aside
from redsched.web.problems import Problem


@contextmanager
def checking() -> Iterator[None]:
    """Tells that this server cannot check payloads.

    Raises:
        Problem: strict_unavailable.
    """
    try:
        yield
    except InvalidSetting as error:
        raise Problem("strict_unavailable", error.problem) from None


async def learn(client: AsyncClient, tasks: Sequence[Task], strict: bool) -> list[str]:
    """Get to know the types of tasks. Answers names of types that may have been meant where a strict request names one
    that is unknown.

    Raises:
        Problem: strict_unavailable.
    """
    if not strict:
        await client.before_enqueue(tasks)
        return []
    with checking():
        await client.learn(tasks, schemas=True)
    return [one.name for one in (await client.types(limit=200)).items] if client.known_types.lacks(tasks) else []


async def ready(client: AsyncClient, aside: Aside, size: int, tasks: Sequence[Task], strict: bool) -> None:
    """Before tasks are enqueued; ``size``: bytes of the body.

    Raises:
        InvalidTask: the request is strict, and one of them is refused; nothing was written.
    """
    meant = await learn(client, tasks, strict)
    if strict:
        await aside.run(size, client.known_types.check, tasks, meant)


async def rule_ready(client: AsyncClient, aside: Aside, size: int, rule: Rule) -> None:
    """Before a rule is put by a strict request; ``size``: bytes of the body.

    Raises:
        InvalidTask: its task is refused; nothing was written.
    """
    with checking():
        check = client.known_types.ask_and_check_template(client.cell_keys, rule.task, rule.bind or ())
        await aside.talk(size, client, check)
