"""Events, facts, rules, holds, pauses and what explains a task, on the wire: a pure function a verb."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import msgspec

from redsched.model.condition import FACT, KEY, LONGEST_MS, MAX_MEMBERS, REF, fact_name
from redsched.model.duration import duration_ms, instant
from redsched.model.errors import InvalidSchedule, InvalidTask
from redsched.model.explain import Told
from redsched.model.happening import Emitted, Kin, KinPage, Paused
from redsched.model.refused import kind_and_length
from redsched.model.rule import BrokenRule, Rule, RulePage
from redsched.model.template import TaskTemplate
from redsched.wire.codec import (
    Word,
    check_id,
    check_name,
    due_word,
    json_bytes,
    json_or_text,
    pairs,
    reason_word,
    stored_json,
    stored_or_text,
    text_of,
)
from redsched.wire.ids import nonce
from redsched.wire.keys import CellKeys, QueueKeys
from redsched.wire.pages import scan_cursor
from redsched.wire.protocol import Call
from redsched.wire.schedules import Stored, task_words, template_of

KEEP_FACT_MS = 86_400_000
MAX_DATA_BYTES = 65_536
A_PAGE = 500  # of what is paused
AT_ONCE = 20  # the limit of one attend: less than a millisecond of the server
_PLACE, _STAND_IN = re.compile(r"{(subject|event|id)}"), re.compile(r"Z-(subject|event|id)-Z")
_JSON = msgspec.json.Encoder(order="deterministic")


class Attended(msgspec.Struct, frozen=True):
    """``now``: the server's clock, ms; tasks looked at; when there is more to do, ms (None: nothing is left); items
    that this caller may not carry out."""

    now: int
    done: int
    next_look: int | None
    left: int = 0


def emit(
    keys: CellKeys, event: str, subject: str, *, data: Any, ttl: Any, event_id: str | None
) -> Call[Emitted]:
    """Record an event; the id makes it safe to repeat."""
    name = fact_name(check_name("event", event), subject)
    if FACT.fullmatch(name) is None:
        problem = f"{kind_and_length(subject)} must be of [A-Za-z0-9._@+:-], with its event at most 256"
        raise InvalidTask("subject", problem)
    try:
        ttl_ms = KEEP_FACT_MS if ttl is None else duration_ms(ttl)
    except ValueError as error:
        raise InvalidTask("ttl", str(error)) from None
    if not 1_000 <= ttl_ms <= LONGEST_MS:
        raise InvalidTask("ttl", f"{ttl_ms} ms is outside 1000..{LONGEST_MS} ms")
    event_id = nonce() if event_id is None else check_id(event_id)

    def read(reply: list[Any]) -> Emitted:
        return Emitted(name, event_id, reply[0], reply[1] == 1, [text_of(word) for word in reply[2:]])

    return Call("emit", (keys.fact(name),), (0, json_bytes("data", data, MAX_DATA_BYTES), ttl_ms, event_id), read)


def attend(keys: CellKeys, limit: int = AT_ONCE, skip: int = 0) -> Call[Attended]:
    """Work off a part of the agenda, but for ``skip`` items at its head."""

    def read(reply: list[int]) -> Attended:
        return Attended(reply[0], reply[1], None if reply[2] < 0 else reply[2], *reply[3:4])

    return Call("attend", (keys.agenda,), (0, limit, skip), read)


def confirm(keys: QueueKeys, ids: Sequence[str], token: str, *, action: str) -> Call[dict[str, str]]:
    """``confirm`` or ``abandon`` 1..1000 tasks that were submitted as held."""
    checked = [check_id(task_id) for task_id in ids]
    if not 1 <= len(checked) <= 1_000:
        raise InvalidTask("ids", f"{len(checked)} in one call; 1..1000 are taken", code="batch_too_large")
    if KEY.fullmatch(token) is None:
        raise InvalidTask("token", "must be 1 to 128 printable ASCII characters without spaces")
    return Call("confirm", (keys.due,), (0, action, token, *checked), _by(checked))


def _by(ids: Sequence[str]) -> Callable[[list[Any]], dict[str, str]]:
    return lambda reply: {task_id: text_of(word) for task_id, word in zip(ids, reply, strict=True)}


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
    return Kin(queue=queue, id=task_id, state=text_of(words[1]), type=text_of(words[2]), result=result)


def stop_word(*, type_: str | None = None, key: str | None = None) -> str:
    """What a pause is about: the queue, a type or a key of it."""
    if type_ is not None and key is not None:
        raise InvalidTask("key", "give type or key, not both")
    if type_ is not None:
        return f"type:{check_name('type', type_)}"
    if key is None:
        return "queue"
    if KEY.fullmatch(key) is None:
        raise InvalidTask("key", "must be 1 to 128 printable ASCII characters without spaces")
    return f"key:{key}"


def pause(keys: QueueKeys, what: str, *, reason: str, until: Any) -> Call[str]:
    """Start no more of them, until that time or, with None, until they are resumed."""
    words = (0, what, reason_word(reason), due_word(until, None) if until is not None else 0)
    return Call("pause", (keys.due,), words, text_of)


def resume(keys: QueueKeys, what: str) -> Call[bool]:
    """Go on; False where it was not paused."""
    return Call("resume", (keys.due,), (0, what), lambda reply: text_of(reply) == "resumed")


def paused(queues: Sequence[QueueKeys], *, cursor: str = "", limit: int = A_PAGE) -> Call[tuple[list[Paused], str]]:
    """A page of what is paused in 1..100 queues, and the cursor of the next; '' on the last."""

    def read(reply: list[list[Any]]) -> tuple[list[Paused], str]:
        *stops, (_, following) = reply
        return [_paused(queues[words[0] - 1].queue, words[1:]) for words in stops], text_of(following)

    return Call("paused", [keys.due for keys in queues], (0, cursor, limit), read)


def all_paused(queues: Sequence[QueueKeys]) -> Generator[Call[Any], Any, list[Paused]]:
    """All that is paused in 1..100 queues."""
    found: dict[tuple[str, str | None, str | None], Paused] = {}
    cursor = ""
    while True:
        stops, cursor = yield paused(queues, cursor=cursor)
        found |= {(stop.queue, stop.type, stop.key): stop for stop in stops}
        if not cursor:
            return list(found.values())


def _paused(queue: str, words: Sequence[Any]) -> Paused:
    what, until, since = text_of(words[0]), int(words[1]), int(words[2])
    kind, _, name = what.partition(":")
    return Paused(
        queue=queue, type=name if kind == "type" else None, key=name if kind == "key" else None,
        reason=text_of(words[3]), since=instant(since), until=instant(until) if until else None,
        waiting=int(words[4]) if len(words) > 4 else 0,
    )  # fmt: skip


def put_rule(keys: CellKeys, rule: Rule, *, max_payload: int) -> Call[str]:
    """Create or replace a rule: ``created``, ``updated`` or ``unchanged``."""
    conditions = rule.task.conditions
    if rule.bind and len(rule.bind) > MAX_MEMBERS:
        raise InvalidTask("bind", f"has {len(rule.bind)} members; at most {MAX_MEMBERS} are taken")
    stood_in = msgspec.structs.replace(rule.task, conditions=_stood_in(conditions) if conditions else None)
    try:
        words = [text_of(word) for word in task_words(stood_in, max_payload)]
    except InvalidSchedule as error:
        raise InvalidTask(error.field, error.problem) from None
    fields = dict(zip(words[::2], words[1::2], strict=True))
    if "conditions" in fields:
        fields["conditions"] = _STAND_IN.sub(r"{\1}", fields["conditions"])
    found: dict[str, Any] = {"fields": fields}
    if rule.task.queue != "default":
        found["queue"] = check_name("task.queue", rule.task.queue)
    if rule.delay is not None:
        found["due"] = str(due_word(None, rule.delay))
    if rule.task_id is not None:
        found["id"] = rule.task_id
    if rule.bind:
        found["bind"] = rule.bind
    args = (0, check_name("id", rule.id), check_name("on", rule.on), _JSON.encode(found))
    return Call("put_rule", (keys.rules,), args, text_of)


def _stood_in(value: Any) -> Any:
    """Conditions with a name in place of ``{subject}`` and the like, so that they can be checked."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, str):
        return _PLACE.sub(r"Z-\1-Z", value)
    if isinstance(value, Mapping):
        return {name: _stood_in(one) for name, one in value.items()}
    return [_stood_in(one) for one in value] if isinstance(value, list | tuple) else value


def drop_rule(keys: CellKeys, rule_id: str) -> Call[bool]:
    """Remove a rule; False where there is none."""
    return Call("drop_rule", (keys.rules,), (check_name("id", rule_id),), lambda reply: text_of(reply) == "dropped")


def rules(
    keys: CellKeys, ids: Sequence[str] = (), *, cursor: str | None = None, limit: int = 100, stored: bool = False
) -> Call[RulePage]:
    """A page of the rules, or those named that are there; ``stored``: with their payloads as ``msgspec.Raw``."""

    def read(reply: list[Any]) -> RulePage:
        found = [_rule(text_of(words[0]), text_of(words[1]), words[2], stored) for words in reply[1:]]
        return RulePage(found, text_of(reply[0]) or None)

    words: list[Word] = [scan_cursor(cursor), limit, *(check_name("id", one) for one in ids)]
    return Call("rules", (keys.rules,), words, read)


def _rule(rule_id: str, event: str, text: Any, stored: bool) -> Rule:
    try:
        return _read_rule(rule_id, event, stored_json(text), stored)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:  # somebody wrote what is no rule
        return BrokenRule(id=rule_id, on=event, task=TaskTemplate(type=""), problem=str(error)[:200])


def _read_rule(rule_id: str, event: str, found: Any, stored: bool) -> Rule:
    fields = {f"task:{name}": str(value).encode() for name, value in dict(found.get("fields", {})).items()}
    fields["queue"] = str(found.get("queue", "default")).encode()
    delay = str(found.get("due", "0"))
    rule = Rule(
        id=rule_id, on=event, task=template_of(Stored(rule_id, fields), written=stored),
        task_id=found.get("id"),
        bind=found.get("bind"), delay=int(delay[1:16]) if delay.startswith("+") else None,
    )  # fmt: skip
    msgspec.convert((rule.task_id, rule.bind), tuple[str | None, dict[str, str] | None])
    return rule


def explain(keys: QueueKeys, task_id: str) -> Call[Told]:
    """All that bears on a task."""

    def read(reply: list[Any]) -> Told:
        lists: dict[str, list[list[Any]]] = {}
        for words in reply[2:]:
            found = [word if isinstance(word, int) else text_of(word) for word in words]
            lists.setdefault(str(found[0]), []).append(found[1:])
        fields = {name: text_of(value) for name, value in pairs(reply[1]).items()}
        return Told(queue=keys.queue, id=task_id, now=reply[0], fields=fields, lists=lists)

    return Call("explain", (keys.due,), (0, check_id(task_id)), read)
