"""Why a task has not run, when it will, or why it never will: one sentence and the data behind it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from redsched.model.duration import instant, is_digits
from redsched.model.event_details import detail_texts
from redsched.model.vocabulary import moved_to


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the script read, at one moment; ``lists``: by their first word, as lua/explain.lua has them."""

    queue: str
    id: str
    now: int
    fields: dict[str, str]
    lists: dict[str, list[list[Any]]]

    def one(self, word: str) -> list[Any] | None:
        """The first list that begins with it."""
        return self.lists.get(word, [None])[0]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """``code``: one word for programs; ``runs_at``: when it is due to start, None where nobody can tell."""

    id: str
    queue: str
    state: str
    code: str
    text: str
    runs_at: datetime | None = None
    facts: dict[str, str | None]  # value now of every fact that it hangs on; None: it is not there
    events: list[str]  # the decisions about it, latest first
    data: dict[str, Any]  # what the sentence was made of


def _stamp(milliseconds: int) -> str:
    return instant(milliseconds).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(milliseconds: int) -> str:
    seconds = abs(milliseconds) / 1_000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _number(told: Told, field: str) -> int | None:
    found = told.fields.get(field, "")
    return int(found) if is_digits(found) and len(found) < 16 else None


def _when(told: Told, field: str) -> str:
    found = _number(told, field)
    return "" if found is None else f" at {_stamp(found)}"


def _missing_facts(told: Told) -> str:
    return ", ".join(str(name) for name, _, there in told.lists.get("fact", []) if not there)


_ENDS = {
    "unless": "it was not to run where there is {0}, and there was",
    "event": "the event {0} called it off",
    "only_if": "it was to run only with {0}, which did not hold",
    "after": "of what it comes after: {0}",
    "merged": "it became part of {0}",
    "duplicate": "{0} has the key that must be unique",
    "replaced": "{0} took its place",
}
_DEATHS = {
    "attempts": "its attempts are spent",
    "lease": "its worker was lost in its last attempt",
    "malformed": "a field of it cannot be used",
}
_SET_ASIDE = {
    "missing": "it was due and has no hash",
    "wrong type": "its key is no hash",
    "bad id": "its id is none that a task can have",
    "bad time": "its due time was no time in ms since the epoch",
    "malformed": "a field of it cannot be used",
}


def _reason(reason: str) -> str:
    """A reason in words: ``unless payment.captured:order-42``."""
    word, _, rest = reason.partition(" ")
    if word in _ENDS and rest:
        return _ENDS[word].format(rest.removeprefix("into ").removeprefix("of ").removeprefix("by "))
    return reason or "no reason was given"


def _turned_down(told: Told) -> str:
    """The test that would end it if it were due now; empty where none would."""
    if isinstance(_conditions(told).get("otherwise"), dict):
        return ""  # it is asked again
    if (told.one("unless") or [0])[0]:
        return "what its unless names is there"
    return "" if (told.one("only_if") or [1])[0] else "its only_if does not hold"


def _conditions(told: Told) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(told.fields.get("conditions", "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _scheduled(told: Told) -> tuple[str, str, int | None]:
    due = told.one("due")
    if due is None:
        return "lost", "it is in no place; redsched doctor --repair puts it right.", None
    if told.one("newer"):
        text = "its conditions name what only a newer redsched knows: a newer redsched must decide this"
        return "needs_newer", f"{text}. It is looked at again at {_stamp(due[0])}.", None
    late, retried = told.now - due[0], _number(told, "attempt")
    if late < 0:
        again = f" for attempt {retried + 1}" if retried else ""
        asked = " Its conditions did not hold; they are asked again then." if "deferred" in told.fields else ""
        start_by = _number(told, "expires_at")
        if start_by is not None and start_by <= due[0]:
            text = f"it will expire: its start-by, {_stamp(start_by)}, passes before it is due at {_stamp(due[0])}."
            return "will_expire", text, None
        if turned_down := _turned_down(told):
            text = f"it is due{again} at {_stamp(due[0])}, in {_span(late)}, but {turned_down}."
            return "will_be_skipped", f"{text} As its facts are now, it will be skipped then.", None
        waits = f" But {_unhandled(told)}" if _number(told, "unhandled") else ""
        if not waits and (other := _queue_of_type(told)) and _has_no_worker(told):
            waits = f" But the queue of its type is {other}, and no worker of queue {told.queue} is known."
        return "due_later", f"it is due{again} at {_stamp(due[0])}, in {_span(late)}.{asked}{waits}", due[0]
    mover = told.one("mover")
    if mover and not mover[0]:
        return "no_mover", f"it has been due for {_span(late)} and no mover runs: start redsched worker or mover.", None
    return "due_now", f"it has been due for {_span(late)} and is about to be made ready.", told.now


def _held(told: Told) -> tuple[str, str, int | None]:
    blocked, ends = told.fields.get("blocked", ""), told.one("held")
    till = f", at the latest until {_stamp(ends[0])}" if ends and ends[0] < 4_000_000_000_000 else ""
    if blocked == "confirm":
        return "unconfirmed", f"it waits for its producer to confirm it{till}.", None
    if blocked == "facts":
        return "waits_for_event", f"it waits for {_missing_facts(told) or 'an event'}{till}.", None
    if blocked == "parents":
        left, _, _, one = told.one("parents") or [0, 0, "", ""]
        such = f", such as {one}" if one else ""
        return "waits_for_tasks", f"it comes after {left} task(s) that have not ended{such}.", None
    if blocked == "line":
        name, first, before = told.one("line") or ["", "", 0]
        return "in_line", f"it stands in the line of key {name}: {first} is first, {before} are before it.", None
    if blocked == "digest":
        others, first = told.one("digest") or [0, ""]
        return "in_digest", f"it is one of {others + 1} tasks that become {first}, when their digest closes.", None
    if blocked.startswith("pause:"):
        what = blocked.removeprefix("pause:")
        over = f"{'everything' if what == 'all' else what} was paused; it is about to go on"
        due = f"it was due{_when(told, 'due_at')}, but " if _when(told, "due_at") else ""
        return "paused", f"{due}{_stops(told) or over}{till}.", None
    return "held", f"it is held{till}.", None


def _stops(told: Told) -> str:
    for what, until, since, reason in told.lists.get("stop", []):
        name = {"queue": f"queue {told.queue}", "all": "everything"}.get(what) or str(what).replace(":", " ", 1)
        if what in ("queue", "all", f"type:{told.fields.get('type')}", f"key:{told.fields.get('key')}"):
            why = f" ({reason})" if reason else ""
            end = f" until {_stamp(until)}" if until else ""
            return f"{name} is paused since {_stamp(since)}{end}{why}"
    return ""


def _unhandled(told: Told) -> str:
    other = _queue_of_type(told)
    queue = f"; the queue of its type is {other}" if other else ""
    return f"no worker had a handler for type {told.fields.get('type')}, {_number(told, 'unhandled')} time(s){queue}."


def _queue_of_type(told: Told) -> str:
    """The queue that workers have put for its type; empty where that is this queue, or nobody has put the type."""
    queue = str((told.one("type_queue") or [""])[0])
    return "" if queue == told.queue else queue


def _has_no_worker(told: Told) -> bool:
    """Whether no worker of its queue is known: none waits for its entries, and none runs a task of it."""
    return told.one("workers") == [0] and told.one("running") == [0]


def _ready(told: Told) -> tuple[str, str, int | None]:
    stops = _stops(told)
    if stops:
        return "paused", f"it does not start, for {stops}.", None
    waiting, running = (told.one("ready") or [0])[0], (told.one("running") or [0])[0]
    if _number(told, "unhandled"):
        return "no_handler", _unhandled(told), None
    if (other := _queue_of_type(told)) and _has_no_worker(told):
        what = f"no worker serves type {told.fields.get('type')} in queue {told.queue}"
        return "no_handler", f"{what}; the queue of its type is {other}.", None
    text = f"it is ready since{_when(told, 'due_at')[3:]} and waits for a worker: {waiting} ready, {running} running."
    return "waits_for_worker", text, None


def _sentence(told: Told, state: str) -> tuple[str, str, int | None]:
    reason = told.fields.get("reason", "")
    if state == "scheduled":
        code, text, at = _scheduled(told)
        stops = _stops(told)
        return code, f"{text} But {stops}." if stops else text, at
    if state == "held":
        return _held(told)
    if state == "ready":
        return _ready(told)
    if state == "running":
        asked = told.fields.get("cancel_requested")
        text = f"it runs since{_when(told, 'started_at')[3:]} on {told.fields.get('worker', 'a worker')}, attempt "
        text += told.fields.get("attempt", "1") + (f", and was asked to stop: {_reason(asked)}." if asked else ".")
        return "running", text, None
    if state == "completed":
        return "completed", f"it completed{_when(told, 'finished_at')}.", None
    if state == "dead":
        what = _DEATHS.get(reason, reason or "its handler gave it up")
        return "dead", f"it is a dead letter{_when(told, 'finished_at')}: {what}; revive runs it again.", None
    if state == "expired" and not reason:
        return "expired", "its start-by passed before it could start.", None
    if (other := moved_to(state, reason)) is not None:
        return "moved", f"queue {other} has it since, under the same id; ask there what became of it.", None
    return state, f"{_reason(reason)}.", None


def _event(at: int, name: str, *details: object) -> str:
    return " ".join((_stamp(at), str(name), *(f"{what} {text}" for what, text in detail_texts(details))))


def explained(told: Told) -> Explanation:
    """The sentence, and what it was made of."""
    state = told.fields.get("state", "scheduled") if told.fields else "unknown"
    is_placed = told.fields and (state != "scheduled" or told.one("due") is not None)
    if (aside := told.one("quarantined")) and not is_placed:
        see = f"see redsched quarantine ls -q {told.queue}"
        code, text, at = "quarantined", f"{_SET_ASIDE.get(str(aside[0]), aside[0])} ({aside[0]}); {see}.", None
        state = code
    elif told.fields:
        code, text, at = _sentence(told, state)
    else:
        code, text, at = state, "nothing is known of it: it never was, or it ended and its retention is over.", None
    facts = {str(name): value if there else None for name, value, there in told.lists.get("fact", [])}
    events = [_event(*words) for words in told.lists.get("event", [])]
    rest = {name: lists for name, lists in told.lists.items() if name not in ("event", "fact")}
    data = {name: lists if len(lists) > 1 else lists[0] for name, lists in rest.items()}
    over = state in ("skipped", "cancelled", "expired")
    word = code if code == "moved" else state
    ended = f"was {word}{_when(told, 'finished_at')}" if over else f"is {state}"
    return Explanation(
        id=told.id,
        queue=told.queue,
        state=state,
        code=code,
        text=f"{told.id} {ended}: {text}",
        runs_at=None if at is None else instant(at),
        facts=facts,
        events=events,
        data=data,
    )
