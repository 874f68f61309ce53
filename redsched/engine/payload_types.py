"""Which types a handler's parameters may have, and who reads each from the payload: msgspec, or pydantic itself.

A type that no JSON becomes is a TypeError that names the parameter and says what to use, raised where the handler is
registered.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any, Protocol

import msgspec

_JSON_TYPES = (str, int, float, bool, list, dict, type(None))  # what reading JSON makes
_PYDANTIC_MARKS = ("__get_pydantic_core_schema__", "__pydantic_validator__")
_HOW = {
    "path": "use str, and make the Path in the handler",
    "iterator": "JSON has lists: use list[...]",
    "model of pydantic 1": "use a model of pydantic 2",
    "class": "make it a dataclass, a TypedDict, a msgspec.Struct or a pydantic model",
}


class PayloadMismatch(Exception):
    """The payload does not fit the handler's signature; the text names the path of the bad field, and may quote it.
    ``kind`` is what a log may say."""

    def __init__(self, problem: str, kind: str = "") -> None:
        super().__init__(problem)
        self.kind = kind or problem


class Reader(Protocol):
    """Makes a parameter's value."""

    field_type: Any  # of the parameter among the others, for msgspec
    fields: frozenset[str] | None  # names of an object that it reads; None: it reads no object with fields
    allowed: frozenset[str] | None  # names that an object may have here; None: the type itself says which

    def decode(self, payload: bytes, /) -> Any:
        """The value of a whole payload."""

    def decode_field(self, value: Any, name: str) -> Any:
        """The value of the parameter ``name``, from what ``field_type`` made of it."""

    def of_bytes(self, payload: bytes) -> Any:
        """The value of a payload that is no JSON."""


def reader_of(annotation: Any) -> Reader:
    """Who reads a value of this type.

    Raises:
        TypeError: no JSON becomes such a value.
    """
    try:
        msgspec.json.Decoder(annotation)
        inner = list(_within(msgspec.inspect.type_info(annotation)))
    except TypeError:
        inner = []
        if not _asks_pydantic(annotation):
            raise
    except RecursionError:
        raise TypeError("is a type that holds itself without an end") from None
    if _asks_pydantic(annotation) or any(_is_of_pydantic(getattr(one, "cls", None)) for one in inner):
        return PydanticReader(annotation)
    for one in inner:
        if isinstance(one, msgspec.inspect.CustomType) and (why := _unreadable(one.cls)):
            raise TypeError(why)
    return MsgspecReader(annotation)


class MsgspecReader:
    """Reads what msgspec knows: the types of JSON, classes with fields, Decimal, UUID, Enum, times."""

    def __init__(self, annotation: Any) -> None:
        self.field_type = annotation
        self.fields = self.allowed = _fields(annotation)
        self._decoder = msgspec.json.Decoder(annotation)

    def decode(self, payload: bytes) -> Any:
        """The value of a whole payload; raises msgspec.DecodeError."""
        return self._decoder.decode(payload)

    def decode_field(self, value: Any, name: str) -> Any:
        """The value itself: msgspec has made it with the others."""
        return value

    def of_bytes(self, payload: bytes) -> Any:
        """The bytes, where the type takes them; raises msgspec.ValidationError."""
        return msgspec.convert(payload, self.field_type)


class PydanticReader:
    """Lets pydantic read JSON by its own rules, strict ones included."""

    field_type: Any = msgspec.Raw  # it gets the JSON as it came
    allowed: frozenset[str] | None = None

    def __init__(self, annotation: Any) -> None:
        try:
            import pydantic
        except ImportError:
            raise TypeError("needs pydantic: pip install 'redsched[pydantic]'") from None
        self._error = pydantic.ValidationError
        try:
            self._adapter: Any = pydantic.TypeAdapter(annotation)
        except pydantic.errors.PydanticUserError as error:
            how = "; one parameter cannot mix its models with attrs classes, msgspec structs or plain classes"
            unknown = isinstance(error, pydantic.errors.PydanticSchemaGenerationError)
            first = str(error).partition("\n")[0].rstrip(".")
            raise TypeError(f"cannot be read by pydantic: {first}{how if unknown else ''}") from None
        self.fields = _pydantic_fields(annotation)
        self._names = frozenset(_names_of_schema(self._adapter.core_schema))

    def decode(self, payload: bytes) -> Any:
        """The value of a whole payload; raises PayloadMismatch."""
        return self._read(payload, [])

    def decode_field(self, value: Any, name: str) -> Any:
        """The value of one parameter; raises PayloadMismatch."""
        return self._read(bytes(value), [name])

    def schema(self, reference: str) -> dict[str, Any]:
        """The JSON Schema of what it reads; ``reference``: where ``{name}`` of its ``$defs`` is found."""
        found: dict[str, Any] = self._adapter.json_schema(ref_template=reference.replace("{name}", "{model}"))
        return found

    def of_bytes(self, payload: bytes) -> Any:
        """Raises PayloadMismatch: pydantic is asked for JSON only."""
        raise PayloadMismatch("Expected JSON, got `bytes` - at `$`")

    def _read(self, payload: bytes, path: list[str]) -> Any:
        try:
            return self._adapter.validate_json(payload)
        except self._error as problem:
            found = problem.errors(include_url=False, include_context=False, include_input=False)
        first, more = found[0], f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        where = [*path, *first["loc"]]
        known = [one if isinstance(one, int) or one in self._names or one in path else None for one in where]
        raise PayloadMismatch(f"{first['msg']} - at `{_path(where)}`{more}", f"{first['type']} - at `{_path(known)}`")


def _unreadable(kind: Any) -> str:
    """Why no JSON becomes an instance of this class; empty where some does."""
    try:
        if any(issubclass(one, kind) for one in _JSON_TYPES):
            return ""
        how = "path" if issubclass(kind, PurePath) else "iterator" if hasattr(kind, "__next__") else "class"
    except TypeError:  # it is no class, or forbids the question
        how = "class"
    if how == "class" and hasattr(kind, "__get_validators__"):
        how = "model of pydantic 1"
    return f"no JSON becomes a {getattr(kind, '__qualname__', kind)}; {_HOW[how]}"


def _within(found: Any) -> Iterator[Any]:
    """A type of ``msgspec.inspect`` and all that it is made of."""
    waiting, seen = [found], set[int]()
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            waiting += one
        elif isinstance(one, msgspec.inspect.Type | msgspec.inspect.Field) and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [getattr(one, name) for name in one.__struct_fields__ if name not in ("default", "cls")]


def _asks_pydantic(annotation: Any) -> bool:
    """Whether pydantic is named in the annotation itself, as in ``Annotated[int, Field(gt=0)]``."""
    if _is_of_pydantic(annotation):
        return True
    marks = getattr(annotation, "__metadata__", ())
    if any(type(mark).__module__.partition(".")[0] in ("pydantic", "annotated_types") for mark in marks):
        return True
    return any(_asks_pydantic(one) for one in typing.get_args(annotation) if one is not annotation)


def _is_of_pydantic(kind: Any) -> bool:
    return isinstance(kind, type) and any(hasattr(kind, mark) for mark in _PYDANTIC_MARKS)


def choices(annotation: Any) -> list[Any]:
    """The members of a union, and of those in it; a type of another kind alone."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return choices(typing.get_args(annotation)[0])
    if origin is typing.Union or type(annotation).__name__ == "UnionType":
        return [choice for one in typing.get_args(annotation) for choice in choices(one)]
    return [annotation]


def _fields(annotation: Any) -> frozenset[str] | None:
    """The names that an object of this type may have; None where it is no object with fields."""
    found = msgspec.inspect.type_info(annotation)
    kinds = found.types if isinstance(found, msgspec.inspect.UnionType) else (found,)
    names: set[str] = set()
    for kind in kinds:
        if isinstance(kind, msgspec.inspect.StructType) and not kind.array_like:
            names.update(field.encode_name for field in kind.fields)
            names.update([kind.tag_field] if kind.tag_field else [])
        elif isinstance(kind, msgspec.inspect.DataclassType | msgspec.inspect.TypedDictType):
            names.update(field.encode_name for field in kind.fields)
        elif not isinstance(kind, msgspec.inspect.NoneType):
            return None
    return frozenset(names) if names else None


def _pydantic_fields(annotation: Any) -> frozenset[str] | None:
    """As ``_fields``, where pydantic reads the type."""
    names: set[str] = set()
    for kind in choices(annotation):
        if isinstance(known := getattr(kind, "__pydantic_fields__", None), dict):
            if getattr(kind, "__pydantic_root_model__", False):
                return None
            aliases = {alias for one in known.values() for alias in (one.alias, one.validation_alias)}
            names |= known.keys() | {alias for alias in aliases if isinstance(alias, str)}
        elif dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
            names |= typing.get_type_hints(kind).keys()
        elif kind is not type(None):
            return None
    return frozenset(names) if names else None


def _names_of_schema(schema: Any) -> Iterator[str]:
    """The names of fields in a schema of pydantic, with their aliases: no text of a payload is among them."""
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(fields := one.get("fields"), dict):
                yield from fields
            elif isinstance(fields, list):
                yield from (field["name"] for field in fields if "name" in field)
            if isinstance(alias := one.get("validation_alias"), str):
                yield alias
            waiting += [value for name, value in one.items() if name != "metadata"]
        elif isinstance(one, list | tuple):
            waiting += one


def _path(parts: Sequence[str | int | None]) -> str:
    """``$.order.lines[1]``; a part that may not be told is ``[...]``, as msgspec writes it."""
    return "$" + "".join(
        "[...]" if part is None else f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts
    )
