"""The Python that is made: the structures of a task, and the way between them and the words of the wire."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import textwrap

from redsched.model.condition import Conditions
from redsched.model.fields import FIELDS, Field
from tools.task_fields.kinds import KINDS, filled

MADE = "# Made by `make fields` from redsched/model/fields.py; change that.\n"
_FIRST = ("id", "queue", "state")  # of a view


def _given(field: Field) -> str:
    return "" if field.name == "type" else f" = {KINDS[field.kind].default}"


def _line(field: Field, kind: str, default: str) -> str:
    note = "  # type: ignore[assignment]" if kind == "msgspec.Raw" else ""
    return f"    {field.name}: {kind}{default}{note}"


def _passed(fields: list[Field]) -> str:
    """The arguments of ``Task`` that a method of another structure passes on."""
    values = [KINDS[field.kind].of_json.format(f"self.{field.name}") for field in fields]
    return "\n".join(f"            {field.name}={value}," for field, value in zip(fields, values, strict=True))


def _documented(field: Field) -> str:
    """The docstring of a field of ``Task``."""
    text = re.sub(r"; see \[.*?\]\(.*?\)", "", field.doc[0].upper() + field.doc[1:])
    if field.missing:
        text += f". Without it: {field.missing}"
    wrapped = textwrap.wrap(text.replace("`", "``") + ".", 110, break_on_hyphens=False)
    return '    """' + "\n    ".join(wrapped) + '"""'


def _members() -> list[str]:
    """The lines of the members of ``Conditions``, with their docstrings."""
    source = inspect.getsource(Conditions)
    (kind,) = ast.parse(source).body
    assert isinstance(kind, ast.ClassDef)
    return source.splitlines()[kind.body[1].lineno - 1 :]


def _task() -> str:
    given = [field for field in FIELDS if field.in_task]
    fields = [f"{_line(field, KINDS[field.kind].task, _given(field))}\n{_documented(field)}" for field in given]
    fields += _members()
    members = Conditions.__annotations__.items()
    some = " or ".join(f"self.{name}" if kind == "bool" else f"self.{name} is not None" for name, kind in members)
    changes = [
        f"    {field.name}: {KINDS[field.kind].task}{' | None' if field.kind == 'choice' else ''}"
        for field in given
        if field.updatable
    ]
    options = [_line(field, KINDS[field.kind].task, "") for field in given if field.name not in ("type", "payload")]
    options += [f"    {name}: {kind}" for name, kind in Conditions.__annotations__.items()]
    shown = {field.name: field for field in FIELDS if field.shown and KINDS[field.kind].view}
    ordered = [shown[name] for name in _FIRST] + [field for name, field in shown.items() if name not in _FIRST]
    view = [
        f"    {field.word}: {KINDS[field.kind].view}" + (f"  # {field.note}" if field.note else "") for field in ordered
    ]
    parts = {"some": [some], "fields": fields, "changes": changes, "options": options, "view": view}
    return _TASK.format(**{name: "\n".join(lines) for name, lines in parts.items()})


_TASK = '''"""What a task is: ``Task`` is what a producer asks for, ``TaskView`` what is known of one.

Nothing here is checked on creation; ``redsched.wire.field_words`` checks a task where it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

import msgspec

from redsched.model.condition import After, Again, Conditions, Digest, Hold, Source, Test, Unique, WaitFor, gather
from redsched.model.outcome import Attempt, KeptStep
from redsched.model.retry import RetryPolicy
from redsched.model.vocabulary import Priority, State


class Task(msgspec.Struct, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """A task to enqueue. Only ``type`` is required.

    ``payload`` is anything that JSON can hold: an object becomes the handler's keyword arguments, any other
    value its one positional. Give ``due`` (an aware datetime or ms since the epoch; the past means now) or
    ``delay``, not both; neither means now. ``expires_at``/``expires_in`` is the start-by: past it the task never
    starts. ``id`` (1..128 of ``[A-Za-z0-9._@+:-]``) makes enqueue idempotent; without one redsched makes one.
    ``request`` is the caller's own token: a repeated call with it is answered as the first one was.
    ``conditions``: what it waits for, hangs on, comes after or is merged with. Its members may be given one by one in
    its place, ``Task(type="remind", unless="paid:42")``, and are then read in ``conditions``.
    """

{fields}

    def __post_init__(self) -> None:
        """Raises InvalidTask: ``conditions`` and its members are both given."""
        if {some}:
            gather(self)


class Changes(TypedDict, total=False):
    """The fields of ``Task`` that can be changed while a task waits or is dead; None: back to the default."""

{changes}


class Options(TypedDict, total=False):
    """The fields of ``Task`` beside type and payload, and those of ``Conditions``, for keyword arguments."""

{options}


class TaskView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one task now. Times are aware UTC datetimes; durations milliseconds."""

{view}
'''


def _template() -> str:
    made = [field for field in FIELDS if field.in_template]
    fields = [_line(field, KINDS[field.kind].template or KINDS[field.kind].task, _given(field)) for field in made]
    return _TEMPLATE.format(fields="\n".join(fields), passed=_passed(made))


_TEMPLATE = '''"""The task that a schedule's run or a rule makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from redsched.model.condition import Conditions, of_json
from redsched.model.duration import span_of
from redsched.model.retry import RetryPolicy, policy_of
from redsched.model.task import Task
from redsched.model.vocabulary import Priority
from redsched.schedule.definition import Duration

if TYPE_CHECKING:
    Retry = RetryPolicy | Sequence[timedelta | str] | timedelta | str | Mapping[str, Any] | None
    Conditioned = Conditions | Mapping[str, Any] | None
else:  # as JSON writes them
    Retry = dict[str, Any] | list[int | str] | str | None
    Conditioned = dict[str, Any] | None


class TaskTemplate(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The task that each run makes; its fields are those of ``Task``."""

{fields}

    def task(self, *, id: str | None = None, due: datetime | int | str | None = None) -> Task:
        """The task to enqueue; raises ValueError for a retry policy that is none."""
        return Task(
            id=id,
            due=due,
{passed}
        )
'''


def _body() -> str:
    made = [field for field in FIELDS if field.in_body]
    fields = [_line(field, KINDS[field.kind].body or KINDS[field.kind].task, _given(field)) for field in made]
    return _BODY.format(fields="\n".join(fields), passed=_passed(made))


_BODY = '''"""The body of a request that creates a task."""

from __future__ import annotations

from typing import Any

import msgspec

from redsched.model import trace
from redsched.model.condition import of_json
from redsched.model.duration import span_of
from redsched.model.task import Task
from redsched.model.vocabulary import Priority
from redsched.web.body_parts import ExpectBody, RetryBody, policy_of


class TaskBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A task to create.

    Times are RFC 3339 with an offset or ms since the epoch, durations ms or text such as ``90s``.
    """

{fields}
    expect: ExpectBody | None = None

    def task(self, traceparent: str | None) -> Task:
        """The task it asks for; ``traceparent`` is the request's, which one among its own headers overrides."""
        if self.headers and trace.valid(own := self.headers.get("traceparent")):
            traceparent = own
        made = Task(
            traceparent=traceparent,
{passed}
        )
        return made if self.expect is None else self.expect.of(made)
'''


def _words() -> str:
    lines = []
    for field in FIELDS:
        kind = KINDS[field.kind]
        if not field.in_task or field.by == "place" or field.name in ("type", "payload"):
            continue  # whoever writes the task writes these
        if not kind.text and field.kind != "start_within":
            raise ValueError(f"{field.name}: nothing writes what is of kind {field.kind}")
        if kind.text:
            lines.append(f"    if {filled(kind.written, field)}:")
            lines.append(f'        words += ("{field.word}", {filled(kind.text, field)})')
    text = "\n".join(lines)
    checks, words = _called("check_id_like|json_bytes", text), _called(r"\w+_word", text)
    return _WORDS.format(lines=text, checks=checks, words=words)


def _called(names: str, text: str) -> str:
    """The functions of such names that a text calls, as an import lists them."""
    return ", ".join(sorted(set(re.findall(rf"\b(?:{names})(?=\()", text))))


_WORDS = '''"""The fields of a task as words of the wire, beside its type, payload, queue, id and due time."""

from __future__ import annotations

from redsched.model.task import Task
from redsched.wire.codec import Word, {checks}
from redsched.wire.field_words import {words}


def option_words(task: Task, index: int | None) -> list[Word]:
    """Field, value, ... of what differs from its default; raises InvalidTask."""
    words: list[Word] = []
{lines}
    return words
'''


def _view() -> str:
    stored = [field for field in FIELDS if field.shown and field.kind in ("json", "conditions")]
    pairs = [filled('({source}, "{word}")', field) for field in stored]
    lines = []
    for field in FIELDS:
        kind = KINDS[field.kind]
        if field.shown and kind.value and field.by != "place":
            value = filled(kind.value, field, every_json=", ".join(pairs))
            lines.append(f"        {field.word}={value}" + ("" if "# type" in value else ","))
    return _VIEW.format(lines="\n".join(lines))


_VIEW = '''"""What a task's hash and its outcome tell of it; fields that cannot be read are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redsched.model.task import TaskView
from redsched.wire.codec import text_of
from redsched.wire.field_values import (
    dict_of_text,
    flag,
    history,
    json_value,
    list_of_text,
    moment,
    not_json,
    number,
    planned_time,
    steps,
    text,
)


def task_view(
    task_id: str,
    queue: str,
    found: Mapping[str, Any],
    outcome: Mapping[str, Any],
    due: Any = b"",
    lease: Any = b"",
    stored: bool = False,
) -> TaskView:
    """What is known of a task by its hash ``found``, its outcome, and its scores.

    ``stored``: payload, headers, tags, conditions, progress and result are ``msgspec.Raw``, byte for byte as they are
    stored.
    """
    if due not in (b"", None):
        found = {{**found, "due_at": due}}  # before promote the score is the due time
    return TaskView(
        id=task_id,
        queue=queue,
{lines}
    )
'''


def formatted(path: str, source: str) -> str:
    """The source as ``ruff format`` lays it out."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", path, "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout


def sources() -> dict[str, str]:
    """Path -> text of each file."""
    made = {
        "redsched/model/task.py": _task(),
        "redsched/model/template.py": _template(),
        "redsched/web/task_body.py": _body(),
        "redsched/wire/task_words.py": _words(),
        "redsched/wire/task_view.py": _view(),
    }
    return {path: formatted(path, MADE + text) for path, text in made.items()}
