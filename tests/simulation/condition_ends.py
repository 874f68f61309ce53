"""Whether each task with conditions has ended for a cause that its conditions and what happened give."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.calls_and_states import Violation
from tests.simulation.condition_draw import Known, unique_key


def check_end(known: Known, state: str, reason: str, end_of: Callable[[Known], str]) -> None:
    """It has a cause to end as it did."""
    word, _, what = reason.partition(" ")
    conditions, right = known.conditions, True
    parents = {f"q/{one.id}": one for one in known.parents}
    if word in ("unless", "only_if"):
        right = state == "skipped" and word in conditions
    elif reason == "after none that failed":
        ends = [end_of(one) for one in known.parents if not one.was_revived]
        right = state == "skipped" and all(end == "completed" for end in ends)
    elif word == "after":
        name, _, told = what.partition(" ")
        parent = parents.get(name)
        end = end_of(parent) if parent else None
        right = parent is not None and (parent.was_revived or end == told or (told == "gone" and end != "completed"))
    elif word == "event":
        right = state == "cancelled" and what in conditions.get("cancel_on", ()) and what in known.heard
    elif reason == "not confirmed":
        right = state == "expired" and "hold" in conditions and not known.confirmed
    elif reason == "no event":
        right = state == "expired" and "within" in conditions.get("wait_for", {})
    elif word in ("replaced", "duplicate"):
        right = unique_key(known) is not None
    elif state == "expired":
        right = known.expires is not None
    elif reason == "malformed":
        before = known.was_revived and "fifo" in conditions  # who waits for it may stand before it in its line
        right = "after" in conditions or before
    if not right:
        raise Violation(f"{known.id} is {state}: {reason}, with {conditions}, {[end_of(one) for one in known.parents]}")
