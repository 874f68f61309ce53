"""What is made beside Python: the JSON Schema of a task, tables of the documentation, and limits that Lua checks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from redsched.model.fields import FIELDS, Field
from tools.task_fields.kinds import KINDS

FROM = "made by `make fields` from redsched/model/fields.py"
_EXPECT = "the task runs where an event does not come `within` that time; it takes the place of `due` and `delay`"
# what promote and claim check themselves, in the order in which they read a hash
READ_WHEN_DUE = ("type", "priority", "expires_at", "conditions", "max_attempts", "timeout_ms")


class MissingPart(Exception):
    """A file has no place for what is made."""


def _plain(text: str) -> str:
    return re.sub(r"; see \[.*?\]\(.*?\)", "", text).replace("`", "")


def schema() -> str:
    """The JSON Schema of a task as ``POST /v1/tasks`` takes it."""
    properties: dict[str, Any] = {}
    for field in FIELDS:
        if field.in_body:
            bounds = {"minimum": field.low, "maximum": field.high} if field.kind == "whole" else {}
            about = _plain(field.doc) + (f"; without it: {_plain(field.missing)}" if field.missing else "")
            properties[field.name] = {"description": about, **KINDS[field.kind].schema, **bounds}
    members = {"event": {"type": "string"}, "within": {"type": ["integer", "string"]}, "subject": {"type": "string"}}
    expected = {"type": "object", "properties": members, "required": ["event", "within"], "additionalProperties": False}
    properties["expect"] = {"description": _plain(_EXPECT), "anyOf": [{"type": "null"}, expected]}
    found = {
        "$comment": f"M{FROM[1:]}; change that.".replace("`", ""),
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A task to create",
        "description": "Times are RFC 3339 with an offset or ms since the epoch, durations ms or text such as 90s.",
        "type": "object",
        "properties": properties,
        "required": ["type"],
        "additionalProperties": False,
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _of_request() -> str:
    rows = ["| field | value | meaning |", "|---|---|---|"]
    for field in FIELDS:
        if field.in_body:
            meaning = field.doc.replace("(#conditions)", "(../../lua/README.md#conditions)") + _range(field, "; {}")
            missing = f"; without it: {field.missing}" if field.missing else ""
            required = "; required" if field.name == "type" else ""
            rows.append(f"| `{field.name}` | {KINDS[field.kind].in_json} | {meaning}{missing}{required} |")
    rows.append(f"| `expect` | object: `event`, `subject`, `within` | {_EXPECT} |")
    return "\n".join(rows)


def _range(field: Field, form: str) -> str:
    if field.kind not in ("whole", "duration"):
        return ""
    return form.format(f"{field.low}..{field.high}" + (" ms" if field.kind == "duration" else ""))


def _of_hash() -> str:
    rows = ["| field | who writes it | meaning, range, default |", "|---|---|---|"]
    for writer in ("producer", "scripts"):
        for field in FIELDS:
            if field.by == writer and field.in_hash:
                who = f"{writer}, required" if field.name in ("type", "payload") else writer
                form = field.on_wire or KINDS[field.kind].on_wire
                parts = [field.doc]
                parts += [form + _range(field, ", {}").removesuffix(" ms")] if form else [_range(field, "{}")]
                parts += [f"without it: {field.missing}"] if field.missing else []
                rows.append(f"| `{field.word}` | {who} | {'; '.join(part for part in parts if part)} |")
    return "\n".join(rows)


def _wrapped(words: list[str]) -> str:
    lines, line = [], " "
    for word in words:
        if len(line) + len(word) + 2 > 120:
            lines.append(line)
            line = " "
        line += f" {word},"
    return "\n".join([*lines, line])


def _lua_fields() -> str:
    written = [field for field in FIELDS if field.by == "producer" and field.in_hash]
    longest = [f"{field.word} = {field.longest}" for field in written]
    checks = {field.word: KINDS[field.kind].lua for field in written if KINDS[field.kind].lua}
    others = ", ".join(f"'{word}'" for word in checks if word not in READ_WHEN_DUE)
    kinds = [f"{word} = '{how}'" for word, how in checks.items()]
    return "\n".join(
        [
            "fields.LONGEST = {                                      -- bytes",
            _wrapped(longest),
            "}",
            "local CHECK = {                                         -- what else is checked of a value",
            _wrapped(kinds),
            "}",
            f"local WRITTEN = {{{others}}}   -- of these, what neither promote nor claim reads",
        ]
    )


def _lua_ranges() -> str:
    bounded = [field for field in FIELDS if field.in_hash and field.low is not None]
    return (
        "local RANGES = {\n" + _wrapped([f"{field.word} = {{{field.low}, {field.high}}}" for field in bounded]) + "\n}"
    )


# path -> how a comment begins and ends there, and the name of each part -> its text
_PARTS = {
    "docs/reference/task-fields.md": (("<!-- ", " -->"), {"fields of a task": _of_request}),
    "lua/README.md": (("<!-- ", " -->"), {"fields of a task": _of_hash}),
    "lua/lib/tasks/fields.lua": (("-- ", ""), {"what a producer may write": _lua_fields}),
    "lua/lib/core/check.lua": (("-- ", ""), {"ranges": _lua_ranges}),
}


def documents(root: Path) -> dict[str, str]:
    """Path -> text of each file, of which only the parts between two comments are made.

    Raises:
        MissingPart: a file lacks one of its parts, or there is no such file.
    """
    made = {"redsched/web/task.schema.json": schema()}
    for path, ((opens, closes), parts) in _PARTS.items():
        if not (root / path).is_file():
            raise MissingPart(f"there is no file {path}")
        text = (root / path).read_text(encoding="utf-8")
        for name, make in parts.items():
            first, last = f"{opens}{name}: {FROM}{closes}\n", f"\n{opens}end of {name}{closes}"
            before, found, rest = text.partition(first)
            _, ended, after = rest.partition(last)
            if not found or not ended:
                raise MissingPart(f"{path} has no part between `{first.strip()}` and `{last.strip()}`")
            blank = "\n" if opens != "-- " else ""  # a table of Markdown stands between blank lines
            text = before + found + blank + make() + blank + ended + after
        made[path] = text
    return made
