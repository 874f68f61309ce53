"""Whether a payload fits the JSON Schema that a worker has put for its type. Needs the extra ``redsched[strict]``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from redsched.client.schema_words import expected, ruled
from redsched.model.errors import InvalidSetting

MISSING = "a strict client needs the package jsonschema: pip install 'redsched[strict]'"


class PayloadSchema:
    """The schema of one type, draft 2020-12.

    Raises:
        InvalidSetting: jsonschema is not installed.
    """

    def __init__(self, schema: Any) -> None:
        try:
            import jsonschema
            from jsonschema.exceptions import best_match
        except ImportError:
            raise InvalidSetting("strict", MISSING) from None
        self._validator: Any = jsonschema.Draft202012Validator(schema)
        self._broken: type[Exception] = jsonschema.SchemaError
        self._best_match = best_match

    def problem(self, payload: Any, later: Collection[str] = ()) -> str:
        """What does not fit and where, without the value; empty where all fits, or the schema is none. ``later``:
        members that the payload gets when its task is made, with values of which nothing is known."""
        found = msgspec.json.decode(payload) if isinstance(payload, msgspec.Raw) else msgspec.to_builtins(payload)
        validator = self._validator
        if later and isinstance(found, dict):
            found = {**found, **dict.fromkeys(later)}
            validator = validator.evolve(schema=_opened(validator.schema, frozenset(later)))
        try:
            error = self._best_match(validator.iter_errors(found))
        except self._broken:
            return ""
        definitions = self._validator.schema.get("$defs", {}) if isinstance(self._validator.schema, dict) else {}
        return "" if error is None else _told(error, definitions)


def _opened(schema: Any, names: frozenset[str]) -> Any:
    """The schema of an object of which these members may be anything."""
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    if isinstance(found.get("properties"), dict):
        found["properties"] = {name: {} if name in names else one for name, one in found["properties"].items()}
    for name in ("anyOf", "allOf", "oneOf"):
        if isinstance(found.get(name), list):
            found[name] = [_opened(one, names) for one in found[name]]
    return found


def _told(error: Any, definitions: Any) -> str:
    """The text of an error. What jsonschema says may quote the payload; this names the rule and the place only."""
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return f"does not fit its type at ${where}: {_rule(error, definitions)}"


def _rule(error: Any, definitions: Any) -> str:
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{', '.join(missing)} is required"
    if error.validator == "additionalProperties":
        extra = sorted(error.instance.keys() - error.schema.get("properties", {}).keys())
        return f"it has {len(extra)} unknown members"
    told = expected({error.validator: error.validator_value}, definitions)
    return f"it must be {told or ruled(error.validator, error.validator_value)}"
