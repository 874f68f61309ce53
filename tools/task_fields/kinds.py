"""What each kind of a field is in Python, in JSON and on the wire: texts that go into what is made."""

from __future__ import annotations

from typing import Any, NamedTuple

from redsched.model.fields import Field


class Kind(NamedTuple):
    """A kind of value. In the texts ``{name}`` stands for the field's name, ``{word}`` for that on the wire."""

    task: str = ""  # type in Task
    body: str = ""  # type in a request, where that is another
    template: str = ""  # type in TaskTemplate, where that is another
    of_json: str = "{}"  # the value for Task of one in JSON
    default: str = "None"
    written: str = "task.{name} is not None"  # when there is something to write
    text: str = ""  # the word to write
    view: str = ""  # type in TaskView, with the default
    value: str = ""  # what TaskView has
    lua: str = ""  # how Lua checks it; without one only the length counts
    schema: Any = None  # JSON Schema of the value in a request
    in_json: str = ""  # the value in a request, for people
    on_wire: str = ""  # the word, for people


def _optional(*types: str) -> dict[str, Any]:
    return {"type": [*types, "null"]}


_DURATION = {"type": ["integer", "string"]}
_NUMBER = {"type": "number"}
_POLICIES: dict[str, tuple[list[str], dict[str, Any]]] = {  # kind -> what it needs, and all that it may have
    "fixed": (["delay"], {"delay": _DURATION}),
    "exponential": ([], {"base": _DURATION, "factor": _NUMBER, "max": _DURATION, "jitter": _NUMBER}),
    "list": (["delays"], {"delays": {"type": "array", "items": _DURATION}}),
}
_NAME, _ID = "^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$", "^[A-Za-z0-9][A-Za-z0-9._@+:-]{0,127}$"
_TOKEN = "^[!-~]{1,128}$"
_INSTANT, _SPAN = "RFC 3339 with an offset, or ms since the epoch", 'ms, `"90s"`, `"1 day"` or `"P1DT2H"`'


def _policy(kind: str, required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"kind": {"const": kind}} | properties,
        "required": ["kind", *required],
        "additionalProperties": False,
    }


_RETRY = {
    "anyOf": [
        {"type": "null"},
        {"type": "string"},
        {"type": "array", "items": _DURATION},
        *(_policy(kind, required, properties) for kind, (required, properties) in _POLICIES.items()),
    ]
}

KINDS: dict[str, Kind] = {
    "name": Kind(
        task="str",
        view="str",
        value='text_of(found.get("{word}") or "")',
        lua="name",
        schema={"type": "string", "pattern": _NAME},
        in_json="text",
    ),
    "queue": Kind(
        task="str | None",
        view="str",
        schema=_optional("string") | {"pattern": _NAME},
        in_json="text",
    ),
    "id": Kind(task="str | None", view="str", schema=_optional("string") | {"pattern": _ID}, in_json="text"),
    "due": Kind(
        task="datetime | int | str | None",
        body="int | str | None",
        schema=_optional("integer", "string"),
        in_json=_INSTANT,
    ),
    "delay": Kind(
        of_json="span_of({})",
        task="timedelta | str | None",
        body="int | str | None",
        schema=_optional("integer", "string"),
        in_json=_SPAN,
    ),
    "json": Kind(
        task="Any",
        body="msgspec.Raw",
        text='json_bytes("{name}", task.{name}, {longest}, index)',
        view="Any = None",
        value='json_value({source}, "{word}", stored)',
        schema={},
        in_json="any",
    ),
    "text": Kind(view="str | None = None", value='text(found, "{word}")'),
    "token": Kind(
        task="str | None",
        text='check_id_like("{name}", task.{name}, index)',
        view="str | None = None",
        value='text(found, "{word}")',
        schema=_optional("string") | {"pattern": _TOKEN},
        in_json="text",
        on_wire="1 to 128 printable ASCII characters without spaces",
    ),
    "choice": Kind(
        task="Priority",
        default='"normal"',
        written='task.{name} != "normal"',
        text='priority_word("{name}", task.{name}, index)',
        view='Priority = "normal"',
        value='text_of(found.get("{word}") or "normal"),  # type: ignore[arg-type]',
        lua="priority",
        schema={"enum": ["high", "normal", "low"]},
        in_json="text",
    ),
    "whole": Kind(
        task="int | None",
        text='whole_word("{name}", task.{name}, {low}, {high}, index)',
        view="int | None = None",
        value='number(found, "{word}")',
        lua="number",
        schema=_optional("integer"),
        in_json="number",
    ),
    "count": Kind(view="int = 0", value='number(found, "{word}") or 0'),
    "duration": Kind(
        of_json="span_of({})",
        task="timedelta | str | None",
        body="int | str | None",
        template="Duration | None",
        text='duration_word("{name}", task.{name}, {low}, {high}, index)',
        view="int | None = None",
        value='number(found, "{word}")',
        lua="number",
        schema=_optional("integer", "string"),
        in_json=_SPAN,
        on_wire="ms",
    ),
    "start_by": Kind(
        task="datetime | int | str | None",
        body="int | str | None",
        written="task.expires_at is not None or task.expires_in is not None",
        text="start_by_word(task.expires_at, task.expires_in, index)",
        view="datetime | None = None",
        value='moment(found, "{word}")',
        lua="start_by",
        schema=_optional("integer", "string"),
        in_json=_INSTANT,
        on_wire="ms since the epoch, or `+ms` in `rs1_enqueue`",
    ),
    "start_within": Kind(
        of_json="span_of({})",
        task="timedelta | str | None",
        body="int | str | None",
        template="Duration | None",
        schema=_optional("integer", "string"),
        in_json=_SPAN,
    ),
    "retry": Kind(
        of_json="policy_of({})",
        task="RetryPolicy | Sequence[timedelta | str] | timedelta | str | None",
        body="RetryBody | None",
        template="Retry",
        text='retry_word("{name}", task.{name}, index)',
        view="str | None = None",
        value='text(found, "{word}")',
        lua="retry",
        schema=_RETRY,
        in_json="one delay as text, a list of delays, or an object with `kind`: `fixed` (`delay`), `exponential`"
        " (`base`, `factor`, `max`, `jitter`) or `list` (`delays`)",
        on_wire="`fixed <ms>`, `exponential <base ms> <factor 1..10> <max ms> <jitter 0..1>` or `list <ms> <ms> ...`",
    ),
    "texts": Kind(
        task="Sequence[str] | None",
        body="list[str] | None",
        template="list[str] | None",
        written="task.{name}",
        text='texts_word("{name}", task.{name}, index)',
        view="list[str] | None = None",
        value='list_of_text(found, "{word}", stored)',
        lua="array",
        schema=_optional("array") | {"items": {"type": "string"}},
        in_json="list of texts",
        on_wire="a JSON array of texts",
    ),
    "headers": Kind(
        task="Mapping[str, str] | None",
        body="dict[str, str] | None",
        template="dict[str, str] | None",
        written="task.{name}",
        text='headers_word("{name}", task.{name}, index)',
        view="dict[str, str] | None = None",
        value='dict_of_text(found, "{word}", stored)',
        lua="object",
        schema=_optional("object") | {"additionalProperties": {"type": "string"}},
        in_json="object of texts",
        on_wire="a JSON object of texts",
    ),
    "flag": Kind(
        task="bool",
        default="False",
        written="task.{name}",
        text="1",
        view="bool = False",
        value='flag(found, "{word}")',
        lua="flag",
        schema={"type": "boolean"},
        in_json="true or false",
        on_wire="`1` where they do; `0`: as without it",
    ),
    "conditions": Kind(
        of_json="of_json({})",
        task="Conditions | Mapping[str, Any] | None",
        body="dict[str, Any] | None",
        template="Conditioned",
        text='conditions_word("{name}", task.{name}, index)',
        view="Any = None",
        value='json_value(found, "{word}", stored)',
        lua="conditions",
        schema=_optional("object"),
        in_json="object",
        on_wire="a JSON object",
    ),
    "state": Kind(view="State", value='text_of(found.get("{word}") or "scheduled"),  # type: ignore[arg-type]'),
    "moment": Kind(view="datetime | None = None", value='moment(found, "{word}")', on_wire="ms since the epoch"),
    "planned_time": Kind(view="datetime | None = None", value='planned_time(found, "{word}")'),
    "lease": Kind(view="datetime | None = None", value='moment({{"{name}": lease}}, "{name}")'),
    "present": Kind(view="bool = False", value='"{word}" in found'),
    "message": Kind(view="str | None = None", value='text(outcome, "{word}") or None'),
    "history": Kind(view="list[Attempt] | None = None", value="history(outcome)"),
    "steps": Kind(view="list[KeptStep] | None = None", value="steps(found, outcome, stored)"),
    "not_json": Kind(view="list[str] | None = None", value="not_json({every_json})"),
    "word": Kind(),
}


def filled(text: str, field: Field, **more: str) -> str:
    """The text with what it says of a field in it."""
    source = "outcome" if field.by == "outcome" else "found"
    bounds = {name: f"{getattr(field, name) or 0:_}" for name in ("low", "high", "longest")}
    return text.format(name=field.name, word=field.word, source=source, **bounds, **more)
