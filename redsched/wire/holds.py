"""Verbs on tasks that wait to be confirmed. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redsched.model.condition import KEY
from redsched.model.errors import InvalidTask
from redsched.wire.call import Call, by_id, checked_ids
from redsched.wire.keys import QueueKeys


def confirm(keys: QueueKeys, ids: Sequence[str], token: str, *, action: str) -> Call[dict[str, Any]]:
    """``confirm`` or ``abandon`` 1..1000 tasks that were submitted as held."""
    checked = checked_ids(ids)
    if KEY.fullmatch(token) is None:
        raise InvalidTask("token", "must be 1 to 128 printable ASCII characters without spaces")
    return Call("confirm", (keys.due,), (0, action, token, *checked), by_id(checked))
