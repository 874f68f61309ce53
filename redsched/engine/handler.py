"""Handler: a function, and how a payload becomes its arguments. Its signature is the schema of its payloads."""

from __future__ import annotations

import functools
import inspect
import logging
import re
import typing
from collections.abc import Callable, Collection
from typing import Any, Literal

import msgspec

from redsched.engine.context import Context
from redsched.engine.payload_schema import payload_schema
from redsched.engine.payload_types import PayloadMismatch, Reader, choices, reader_of
from redsched.wire.task_types import MOST_SCHEMA_BYTES

log = logging.getLogger("redsched.worker")

Unknown = Literal["ignore", "refuse"]
MOST_TOLD = 100  # different sets of unknown names of one type that are logged
# texts of msgspec that are about the handler's types alone, and beginnings of those that a value of the payload follows
_OF_TYPES = ("Expected `", "Object missing required field `")
_OF_VALUES = (
    "Object contains unknown field", "Invalid enum value", "Invalid value", "Invalid RFC3339", "Invalid UUID",
    "Invalid decimal string", "Invalid base64", "Invalid ISO8601", "Integer value out of range",
)  # fmt: skip
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")  # any other key of a payload may be somebody's data
_PATH = re.compile(r"\$[\w.\[\]]*")


class Handler:
    """A function, and how a payload becomes its arguments.

    A JSON object becomes keyword arguments, any other value the one positional; ``null`` calls a handler that needs
    none. What is not JSON is bytes. A handler whose one parameter is an object with fields (a dataclass, a model, ...)
    also takes that object itself: it does so where the payload has no member of the parameter's name.

    ``unknown`` says what becomes of names that no parameter has: they are left out and logged once, or refused.

    Raises:
        TypeError: a parameter can never get its value from a payload; the text names it and says what to use.
    """

    size = 1  # how many tasks it runs at a time

    def __init__(self, function: Callable[..., Any], type: str = "", unknown: Unknown = "ignore") -> None:
        self.function = function
        self._type = type
        self.refuses = unknown == "refuse"
        code = code_of(function)
        name = getattr(code, "__qualname__", repr(function))
        check_is_work(function)
        if _generates(code):
            raise TypeError(
                f"{name} is a generator function, and calling it runs none of its body; a handler does its work and "
                "returns, so replace its yields, or iterate over it in a handler"
            )
        self.is_async = inspect.iscoroutinefunction(code)
        hints = hints_of(code, name)
        self.context_name: str | None = None
        self._readers: dict[str, Reader] = {}
        self._any_keyword = False
        self._needed = 0
        self._required: list[str] = []
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for parameter in inspect.signature(function).parameters.values():
            where = f"{name}: parameter {parameter.name!r}"
            annotation = hints.get(parameter.name, Any)
            if is_context(annotation):
                if self.context_name is not None:
                    raise TypeError(f"{where} is a second Context; {self.context_name!r} gets it already")
                self.context_name = parameter.name
            elif parameter.kind is parameter.VAR_KEYWORD:
                self._any_keyword = True
            elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                instead = "a list" if parameter.kind is parameter.VAR_POSITIONAL else "it without the /"
                raise TypeError(f"{where} cannot be given by its name, as a payload gives it; declare {instead}")
            elif parameter.name == "self" and "self" not in hints and parameter.default is parameter.empty:
                raise TypeError(
                    f"{where} has no annotation, so it would be a field of the payload; a method needs its object: "
                    "register that of an object, app.task(...)(made.method), or write self: Any for the field"
                )
            elif parameter.name in ("ctx", "context") and parameter.name not in hints:
                raise TypeError(
                    f"{where} has no annotation, so it would be a field of the payload; "
                    f"write {parameter.name}: Context to get the context, or {parameter.name}: Any for the field"
                )
            else:
                try:
                    reader = self._readers[parameter.name] = reader_of(annotation)
                except (TypeError, ValueError, NameError) as error:
                    raise TypeError(f"{where}: {error}") from None
                needed = parameter.default is parameter.empty
                self._needed += needed
                if needed:
                    self._required.append(parameter.name)
                may_miss: Any = typing.Union[reader.field_type, msgspec.UnsetType]  # noqa: UP007 - it is a value
                only = (parameter.name, reader.field_type)
                fields.append(only if needed else (parameter.name, may_miss, msgspec.UNSET))
        self._first = next(iter(self._readers.items()), None)
        self._may_be_whole = len(self._readers) == 1 and not self._any_keyword and self._reads_objects(name)
        self._apart = [(key, reader) for key, reader in self._readers.items() if reader.field_type is msgspec.Raw]
        self._all_needed = self._needed == len(fields)
        self._has_more = bool(self._apart) or self._any_keyword
        strict = msgspec.defstruct("Payload", fields, forbid_unknown_fields=not self._any_keyword, kw_only=True)
        self._object = msgspec.json.Decoder(strict)
        self._tolerant = msgspec.json.Decoder(msgspec.defstruct("Payload", fields, kw_only=True))
        self._rest = msgspec.json.Decoder(dict[str, Any])
        self._members = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._told: set[tuple[str, ...]] = set()

    def schema(self) -> bytes:
        """The JSON Schema of its payloads; empty where a parameter's type has none, or it is longer than 64 KiB."""
        found = self._schema()
        text = b"" if found is None else msgspec.json.encode(found)
        return text if len(text) <= MOST_SCHEMA_BYTES else b""

    def _schema(self) -> dict[str, Any] | None:
        return payload_schema(
            self._readers,
            self._required,
            refuses=self.refuses and not self._any_keyword,
            may_be_whole=self._may_be_whole,
        )

    def _reads_objects(self, name: str) -> bool:
        """Whether the one parameter is an object with fields."""
        [(parameter, reader)] = self._readers.items()
        if reader.fields is not None and parameter in reader.fields:
            raise TypeError(
                f"{name}: parameter {parameter!r} is called as one of its own type's fields, so a payload could mean "
                "either; give the parameter another name"
            )
        return reader.fields is not None

    def arguments(self, payload: bytes, content_type: str | None = None) -> dict[str, Any]:
        """Keyword arguments for the function, without its context; raises PayloadMismatch.

        A payload that its ``content_type`` says is not JSON is the bytes of the one positional.
        """
        try:
            if content_type is not None and not is_json(content_type):
                return self._bytes(payload)
            if payload[:1] == b"{" or payload.lstrip()[:1] == b"{":
                found = msgspec.structs.asdict(self._object.decode(payload))
                if not self._all_needed:
                    found = {name: value for name, value in found.items() if value is not msgspec.UNSET}
                return self._completed(found, payload) if self._has_more else found
            if payload == b"null" and self._needed == 0:
                return {}
            if self._first is None or self._needed > 1:
                raise PayloadMismatch(f"Expected a JSON object with {self._needed} or more fields - at `$`")
            name, reader = self._first
            return {name: reader.decode(payload)}
        except msgspec.ValidationError as error:
            return self._second_reading(payload, content_type, error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise mismatch(error) from None

    def _completed(self, found: dict[str, Any], payload: bytes) -> dict[str, Any]:
        """The arguments, of what is in the members that msgspec has read."""
        for name, reader in self._apart:
            if name in found:
                found[name] = reader.decode_field(found[name], name)
        if self._any_keyword:
            found |= {k: v for k, v in self._rest.decode(payload).items() if k not in self._readers}
        return found

    def _second_reading(
        self, payload: bytes, content_type: str | None, problem: msgspec.ValidationError
    ) -> dict[str, Any]:
        """Arguments of what the first reading refused: the one object itself, or names that no parameter has."""
        try:
            if not is_json(content_type or "") or self._any_keyword or payload.lstrip()[:1] != b"{":
                raise problem
            given = self._members.decode(payload).keys()
            if self._first is not None and self._may_be_whole and self._first[0] not in given:
                name, reader = self._first
                if reader.allowed is not None:
                    self._pass_over(given - reader.allowed, problem)
                return {name: reader.decode(payload)}
            others = given - self._readers.keys()
            if not others:
                raise problem
            self._pass_over(others, problem)
            found = msgspec.structs.asdict(self._tolerant.decode(payload))
            return self._completed({k: v for k, v in found.items() if v is not msgspec.UNSET}, payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise mismatch(error) from None

    def _pass_over(self, names: Collection[str], problem: msgspec.ValidationError) -> None:
        """Log these unknown names, once, as far as they are names of fields; raises ``problem`` where they are
        refused."""
        if not names:
            return
        if self.refuses:
            raise problem
        told = tuple(sorted(name for name in names if _FIELD_NAME.fullmatch(name))[:16])
        if told not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(told)
            more = {"others": len(names) - len(told)} if len(names) > len(told) else {}
            log.warning("task.unknown_fields", extra={"type": self._type, "fields": ", ".join(told), **more})

    def _bytes(self, payload: bytes) -> dict[str, Any]:
        if self._first is None or self._needed > 1:
            raise PayloadMismatch("a payload that is not JSON needs a handler of one parameter, for its bytes - at `$`")
        name, reader = self._first
        return {name: reader.of_bytes(payload)}


def is_context(annotation: Any) -> bool:
    """Whether a parameter of this type gets the context: ``Context``, or ``Context | None``."""
    return [one for one in choices(annotation) if one is not type(None)] == [Context]


def hints_of(code: Any, name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(code, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"{name}: an annotation names {error.name!r}, which its module does not have when it runs; import or "
            "define it there, outside functions and `if TYPE_CHECKING`"
        ) from None


def mismatch(error: Exception) -> PayloadMismatch:
    return PayloadMismatch(str(error), _unquoted(error))


def _unquoted(error: Exception) -> str:
    """What was wrong and where, without the value: a payload's texts and keys are for nobody's log."""
    if not isinstance(error, msgspec.ValidationError):
        return "not UTF-8" if isinstance(error, UnicodeDecodeError) else "not readable JSON"
    problem, _, path = str(error).rpartition(" - at `")
    path = path.rstrip("`")
    if not problem or _PATH.fullmatch(path) is None:
        problem, path = str(error), "$"
    if not problem.startswith(_OF_TYPES):
        problem = next((start for start in _OF_VALUES if problem.startswith(start)), "refused by a check")
    return f"{problem} - at `{path}`"


def is_json(content_type: str) -> bool:
    """Whether a payload of this media type is JSON: ``application/json``, ``application/cloudevents+json``, ..."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("", "application/json", "text/json") or kind.endswith("+json")


def code_of(function: Callable[..., Any]) -> Any:
    """The function that a call of this runs: behind partials, caches and bound methods, and of an object its
    ``__call__``. Not behind other decorators: what they do with the function is theirs."""
    found: Any = function
    for _ in range(100):
        if isinstance(found, functools.partial):
            found = found.func
        elif isinstance(found, functools._lru_cache_wrapper):
            found = found.__wrapped__
        elif inspect.ismethod(found) or isinstance(found, staticmethod):
            found = found.__func__
        elif inspect.isroutine(found):
            break
        else:
            found = type(found).__call__
    return found


def check_is_work(function: Any) -> None:
    """Raises TypeError for a class: a call of it makes an object, and does no work."""
    found = function
    while isinstance(found, functools.partial):
        found = found.func
    if isinstance(found, type):
        raise TypeError(
            f"{found.__qualname__} is a class, and calling it only makes an object of it; register a function, a "
            f"method of an object, or an object that has __call__, as in app.task(...)({found.__qualname__}(...))"
        )


def _generates(code: Any) -> bool:
    if inspect.isasyncgenfunction(code):
        return True
    flags = code.__code__.co_flags if inspect.isfunction(code) else 0
    return inspect.isgeneratorfunction(code) and not flags & inspect.CO_ITERABLE_COROUTINE  # of types.coroutine
