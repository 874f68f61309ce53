"""Events and the rules that follow them. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from redsched.model.answers import RuleAnswer
from redsched.model.condition import FACT, LONGEST_MS, MAX_MEMBERS, fact_name
from redsched.model.duration import span_ms, span_of
from redsched.model.errors import InvalidSchedule, InvalidTask
from redsched.model.events import BrokenRule, Emitted, Rule, RulePage
from redsched.model.refused import kind_and_length
from redsched.model.template import TaskTemplate
from redsched.wire.call import Call
from redsched.wire.codec import Word, check_id, check_name, json_bytes, stored_json, text_of
from redsched.wire.field_words import due_word
from redsched.wire.ids import nonce
from redsched.wire.keys import CellKeys
from redsched.wire.pages import scan_cursor
from redsched.wire.templates import task_words, template_of

KEEP_FACT_MS = 86_400_000
MAX_DATA_BYTES = 65_536
_PLACE, _STAND_IN = re.compile(r"{(subject|event|id)}"), re.compile(r"Z-(subject|event|id)-Z")
_JSON = msgspec.json.Encoder(order="deterministic")


def emit(keys: CellKeys, event: str, subject: str, *, data: Any, ttl: Any, event_id: str | None) -> Call[Emitted]:
    """Record an event; the id makes it safe to repeat."""
    name = fact_name(check_name("event", event), subject)
    if FACT.fullmatch(name) is None:
        problem = f"{kind_and_length(subject)} must be of [A-Za-z0-9._@+:-], with its event at most 256"
        raise InvalidTask("subject", problem)
    try:
        ttl_ms = KEEP_FACT_MS if ttl is None else span_ms(ttl)
    except ValueError as error:
        raise InvalidTask("ttl", str(error)) from None
    if not 1_000 <= ttl_ms <= LONGEST_MS:
        raise InvalidTask("ttl", f"{ttl_ms} ms is outside 1000..{LONGEST_MS} ms")
    event_id = nonce() if event_id is None else check_id(event_id)

    def read(reply: list[Any]) -> Emitted:
        return Emitted(name, event_id, reply[0], reply[1] == 1, [text_of(word) for word in reply[2:]])

    return Call("emit", (keys.fact(name),), (0, json_bytes("data", data, MAX_DATA_BYTES), ttl_ms, event_id), read)


def put_rule(keys: CellKeys, rule: Rule, *, max_payload: int) -> Call[RuleAnswer]:
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
    if rule.task.queue is not None:
        found["queue"] = rule.task.queue
    if rule.delay is not None:
        found["due"] = str(due_word(None, span_of(rule.delay)))
    if rule.task_id is not None:
        found["id"] = rule.task_id
    if rule.bind:
        found["bind"] = rule.bind
    args = (0, check_name("id", rule.id), check_name("on", rule.on), _JSON.encode(found))
    return Call("put_rule", (keys.rules,), args, lambda reply: cast(RuleAnswer, text_of(reply)))


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
    fields = {name: str(value).encode() for name, value in dict(found.get("fields", {})).items()}
    delay = str(found.get("due", "0"))
    rule = Rule(
        id=rule_id,
        on=event,
        task=template_of(fields, str(found.get("queue", "")), written=stored),
        task_id=found.get("id"),
        bind=found.get("bind"),
        delay=cast(Any, int(delay[1:16])) if delay.startswith("+") else None,
    )
    msgspec.convert((rule.task_id, rule.bind), tuple[str | None, dict[str, str] | None])
    return rule
