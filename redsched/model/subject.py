"""The subject of what redsched stores: the part of a name that says whom or what it is about.

What has the same subject lives together: the tasks ``order-42`` and ``order-42:remind``, a task whose key is
``order-42``, and the fact ``payment.captured:order-42``. Nothing is checked here; any text has a subject.
"""

from __future__ import annotations


def subject_of_id(task_id: str) -> str:
    """The subject of a task by its id: the part before the first colon; the whole id where it has none."""
    return task_id.partition(":")[0]


def subject_of_key(key: str) -> str:
    """The subject of a task's ordering key, the field ``key``: the part before the first colon, as in an id."""
    return key.partition(":")[0]


def subject_of_fact(name: str) -> str:
    """The subject of a fact ``<event>:<subject>``: the part between the first colon and the next.

    A name without a colon is about nothing in particular; its subject is the empty text.
    """
    return name.partition(":")[2].partition(":")[0]
