"""What a JSON Schema asks for, in words: ``a text or null``. It tells of the schema alone, never of what was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_TYPES = {
    "string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "an object", "null": "null",
}  # fmt: skip
# keyword -> what a value must be; {0}: what the schema has there
_RULES = {
    "minimum": "at least {0}", "maximum": "at most {0}", "exclusiveMinimum": "more than {0}",
    "exclusiveMaximum": "less than {0}", "multipleOf": "a multiple of {0}", "minLength": "at least {0} characters long",
    "maxLength": "at most {0} characters long", "minItems": "a list of at least {0}",
    "maxItems": "a list of at most {0}",
    "minProperties": "an object of at least {0}", "maxProperties": "an object of at most {0}",
    "pattern": "a text that matches {0}", "format": "a text that is a {0}",
}  # fmt: skip
_DEEPEST = 3  # levels of choices and references that are told
_MOST = 10  # choices that are told
_LONGEST = 100  # characters of one


def expected(schema: Any, definitions: Mapping[str, Any]) -> str:
    """``a text or null``; empty where it takes anything, or says it in a way that has no words here."""
    return _one_of(_choices(schema, definitions, 0))


def _choices(schema: Any, definitions: Mapping[str, Any], depth: int) -> list[str]:
    """Each of what it takes, empty for one that has no words."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return [""]
    if isinstance(name := schema.get("$ref"), str):
        return _choices(definitions.get(name.rpartition("/")[2]), definitions, depth + 1)
    for keyword in ("anyOf", "oneOf"):
        if isinstance(several := schema.get(keyword), Sequence):
            return [told for one in several for told in _choices(one, definitions, depth + 1)]
    if "const" in schema:
        return [_written(schema["const"])]
    if isinstance(values := schema.get("enum"), Sequence):
        return [_written(value) for value in values]
    wanted = schema.get("type")
    kinds = [wanted] if isinstance(wanted, str) else wanted if isinstance(wanted, Sequence) else []
    found = [_TYPES.get(kind, "") for kind in kinds] or [""]
    if found == ["a text"] and "format" in schema:
        return [f"a text that is a {_short(schema['format'])}"]
    bounds = [ruled(name, schema[name]) for name in ("minimum", "maximum") if name in schema]
    return [f"{found[0]} of {' and '.join(bounds)}"] if bounds and len(found) == 1 and found[0] else found


def ruled(keyword: str, value: Any) -> str:
    """What a keyword of a schema asks for, as ``at least 1``."""
    if keyword in _RULES:
        return _RULES[keyword].format(_short(value))
    return expected({keyword: value}, {}) or f"as its schema says ({keyword})"


def _one_of(choices: Sequence[str]) -> str:
    told = list(dict.fromkeys(choices))
    if not all(told):
        return ""
    if len(told) > _MOST:
        told[_MOST:] = [f"one of {len(told) - _MOST} others"]
    return " or ".join((", ".join(told[:-1]), told[-1]) if len(told) > 1 else told)


def _written(value: Any) -> str:
    return _short(msgspec.json.encode(value).decode())


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
