"""The JSON Schema (draft 2020-12) of the payloads that a handler takes, made from its parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from redsched.engine.payload_types import PydanticReader, Reader

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = "#/$defs/{name}"


def payload_schema(
    readers: Mapping[str, Reader], needed: Collection[str], *, refuses: bool, may_be_whole: bool
) -> dict[str, Any] | None:
    """The schema, by the rules of ``Handler``; None where a parameter's type has none.

    ``needed``: parameters without a default. ``refuses``: members that no parameter has are refused. ``may_be_whole``:
    the one parameter may be the payload itself, though it is an object.
    """
    try:
        found, shared = _schemas(readers)
    except Exception:  # a type of the application's own: whoever wrote it decides what it raises
        return None
    members: dict[str, Any] = {"type": "object", "properties": found, "required": sorted(needed)}
    if refuses:
        members["additionalProperties"] = False
    choices = [members]
    if found and len(needed) <= 1:
        first = next(iter(found.values()))
        choices.append(first if may_be_whole else {"allOf": [first, {"not": {"type": "object"}}]})
    if not needed:
        choices.append({"type": "null"})
    whole = members if len(choices) == 1 else {"anyOf": choices}
    return {"$schema": DIALECT, **whole, **({"$defs": shared} if shared else {})}


def whole_schema(reader: Reader) -> dict[str, Any] | None:
    """The schema of payloads that are one value of the reader's type; None where that has none."""
    try:
        found, shared = _schemas({"payload": reader})
    except Exception:  # a type of the application's own: whoever wrote it decides what it raises
        return None
    return {"$schema": DIALECT, **found["payload"], **({"$defs": shared} if shared else {})}


def _schemas(readers: Mapping[str, Reader]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of each parameter, and the definitions that they refer to."""
    plain = {name: one.field_type for name, one in readers.items() if not isinstance(one, PydanticReader)}
    made, shared = msgspec.json.schema_components(plain.values(), ref_template=REFERENCE)
    found = dict(zip(plain, made, strict=True))
    for name, reader in readers.items():
        if isinstance(reader, PydanticReader):
            found[name] = reader.schema(REFERENCE)
            shared |= found[name].pop("$defs", {})
    return {name: found[name] for name in readers}, shared
