"""Verbs on tasks that come after others. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from redsched.model.condition import REF
from redsched.model.errors import InvalidTask
from redsched.model.refused import kind_and_length
from redsched.model.workflows import FamilyState, Kin, KinPage
from redsched.wire.call import Call
from redsched.wire.codec import (
    check_id,
    json_or_text,
    stored_or_text,
    text_of,
)
from redsched.wire.keys import QueueKeys


def follow(keys: QueueKeys, task_id: str, refs: Sequence[str]) -> Call[str]:
    """Let a task that is still to be confirmed come after 1..1000 more."""
    for at, ref in enumerate(refs):
        if REF.fullmatch(ref) is None:
            raise InvalidTask(f"after[{at}]", f"{kind_and_length(ref)} is no id, or <queue>/<id>")
    return Call("follow", (keys.due,), (check_id(task_id), *refs), text_of)


def kin(
    keys: QueueKeys, task_id: str, which: str, *, cursor: str | None = None, limit: int = 100, stored: bool = False
) -> Call[KinPage]:
    """A page of its parents or of its children; ``stored``: results are ``msgspec.Raw``, as they are stored."""

    def read(reply: list[Any]) -> KinPage:
        return KinPage([_kin(words, stored) for words in reply[1:]], text_of(reply[0]) or None)

    return Call("kin", (keys.due,), (which, check_id(task_id), cursor or "", limit), read)


def _kin(words: Sequence[Any], stored: bool) -> Kin:
    queue, _, task_id = text_of(words[0]).partition("/")
    result = (stored_or_text if stored else json_or_text)(words[3]) if words[3] else None
    state = cast(FamilyState, text_of(words[1]))
    return Kin(queue=queue, id=task_id, state=state, type=text_of(words[2]), result=result)
