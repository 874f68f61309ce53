"""Which types the parameters of handlers may have, how each is checked, and what is refused where it is registered."""

from __future__ import annotations

import dataclasses
import enum
import logging
import re
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Optional
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from typing_extensions import TypedDict

from redsched import App, Context, InvalidTask
from redsched.engine.handler import MOST_TOLD, Handler
from redsched.engine.payload_types import PayloadMismatch


class Colour(enum.Enum):
    RED = "red"


class Struct(msgspec.Struct):
    id: UUID
    price: Decimal
    at: datetime
    colour: Colour = Colour.RED


@dataclasses.dataclass
class Data:
    id: UUID
    price: Decimal
    at: datetime
    colour: Colour = Colour.RED


@attrs.define
class Attrs:
    id: UUID
    price: Decimal
    at: datetime
    colour: Colour = Colour.RED


class Typed(TypedDict):
    id: UUID
    price: Decimal
    at: datetime
    colour: Colour


class Line(pydantic.BaseModel):
    n: int = pydantic.Field(gt=0)


class Model(pydantic.BaseModel):
    id: UUID
    price: Decimal
    at: datetime
    colour: Colour = Colour.RED
    lines: list[Line] = []
    labels: dict[str, int] = {}
    other_name: str = pydantic.Field("", alias="otherName")


class StrictModel(pydantic.BaseModel, strict=True, extra="forbid"):
    at: datetime
    n: int


@pydantic.dataclasses.dataclass
class CheckedData:
    n: pydantic.PositiveInt


@dataclasses.dataclass
class DataWithModel:
    line: Line


class StructWithModel(msgspec.Struct):
    line: Line


class Plain:
    def __init__(self, path: str) -> None:
        self.path = path


class StructWithPath(msgspec.Struct):
    where: list[Path]


class Named(msgspec.Struct):
    named: str


ID, AT = UUID("12345678-1234-5678-1234-567812345678"), datetime(2027, 1, 31, 9, tzinfo=UTC)
FIELDS = f'{{"id":"{ID}","price":"9.90","at":"2027-01-31T09:00:00Z","colour":"red"}}'
MADE = {"id": ID, "price": Decimal("9.90"), "at": AT, "colour": Colour.RED}


def read(annotation: Any, payload: str, **options: Any) -> Any:
    def handler(order: Any) -> None: ...

    handler.__annotations__["order"] = annotation
    return Handler(handler, "order.take", **options).arguments(payload.encode())["order"]


def refusal(annotation: Any, payload: str, **options: Any) -> PayloadMismatch:
    with pytest.raises(PayloadMismatch) as caught:
        read(annotation, payload, **options)
    return caught.value


def refused(function: Any) -> str:
    with pytest.raises(TypeError) as caught:
        App().task("x")(function)
    return str(caught.value)


def unreadable(annotation: Any) -> str:
    def handler(order: Any) -> None: ...

    handler.__annotations__["order"] = annotation
    return refused(handler)


@pytest.mark.parametrize("kind", [Struct, Data, Attrs, Typed, Model])
def test_a_class_with_fields_is_a_field_of_the_payload_or_the_whole_of_it(kind: Callable[..., Any]) -> None:
    expected = kind(**MADE)

    assert read(kind, f'{{"order":{FIELDS}}}') == expected
    assert read(kind, FIELDS) == expected
    assert read(kind | None, FIELDS) == expected
    assert read(kind | None, '{"order":null}') is None
    assert read(kind | None, "null") is None
    assert read(list[kind], f'{{"order":[{FIELDS}]}}') == [expected]  # type: ignore[valid-type]
    assert read(list[kind], f"[{FIELDS}]") == [expected]  # type: ignore[valid-type]


def test_a_value_of_one_of_pythons_own_types_is_a_field_or_the_whole_payload() -> None:
    for kind, text, value in (
        (UUID, f'"{ID}"', ID),
        (Decimal, '"9.90"', Decimal("9.90")),
        (Colour, '"red"', Colour.RED),
        (datetime, '"2027-01-31T09:00:00Z"', AT),
        (date, '"2027-01-31"', AT.date()),
        (timedelta, '"PT5S"', timedelta(seconds=5)),
    ):
        assert read(kind, text) == value
        assert read(kind, f'{{"order":{text}}}') == value
        assert read(kind | None, "null") is None


def test_a_handler_with_a_default_keeps_it_unless_the_payload_says_something() -> None:
    default = Line(n=7)

    def handler(ctx: Context, line: Line = default) -> None: ...

    read_by = Handler(handler).arguments
    assert read_by(b"{}") == read_by(b"null") == {}
    assert read_by(b'{"n":2}') == read_by(b'{"line":{"n":2}}') == {"line": Line(n=2)}


def test_models_stand_beside_other_parameters() -> None:
    def handler(line: Line, n: int, more: list[Line] | None = None, **rest: Any) -> None: ...

    read_by = Handler(handler).arguments
    assert read_by(b'{"line":{"n":1},"n":2}') == {"line": Line(n=1), "n": 2}
    found = read_by(b'{"n":2,"more":[{"n":3}],"line":{"n":1},"x":4}')
    assert found == {"line": Line(n=1), "n": 2, "more": [Line(n=3)], "x": 4}


def test_pydantic_reads_json_by_its_own_rules() -> None:
    strict = StrictModel(at=AT, n=1)
    assert read(StrictModel, '{"at":"2027-01-31T09:00:00Z","n":1}') == strict
    assert refusal(StrictModel, '{"at":"2027-01-31T09:00:00Z","n":"1"}').kind == "int_type - at `$.n`"
    assert refusal(StrictModel, '{"at":"2027-01-31T09:00:00Z","n":1,"x":2}').kind == "extra_forbidden - at `$[...]`"
    assert read(Line, '{"order":{"n":"5"}}') == Line(n=5)
    assert read(Model, FIELDS.replace('"colour"', '"otherName":"o","colour"')).other_name == "o"
    assert read(Annotated[int, pydantic.Field(gt=3)], "4") == 4
    assert refusal(Annotated[int, pydantic.Field(gt=3)], "3").kind == "greater_than - at `$`"
    assert read(CheckedData, '{"n":5}').n == 5
    assert refusal(CheckedData, '{"n":-5}').kind == "greater_than - at `$.n`"
    assert read(DataWithModel, '{"line":{"n":5}}') == DataWithModel(Line(n=5))
    assert refusal(list[CheckedData], '[{"n":1},{"n":-5}]').kind == "greater_than - at `$[1].n`"


def test_what_pydantic_refuses_has_a_path_and_a_log_sees_no_value_and_no_key() -> None:
    secret = FIELDS.replace('"colour"', '"lines":[{"n":1},{"n":"sesame"}],"labels":{"open":"sesame"},"colour"')

    problem = refusal(Model, f'{{"order":{secret}}}')
    assert str(problem).startswith("Input should be a valid integer, unable to parse string as an integer")
    assert " - at `$.order.lines[1].n` (and 1 more)" in str(problem)
    assert problem.kind == "int_parsing - at `$.order.lines[1].n`"

    labels = FIELDS.replace('"colour"', '"labels":{"open":"sesame"},"colour"')
    assert refusal(Model, labels).kind == "int_parsing - at `$.labels[...]`"


def test_a_payload_that_is_no_json_is_nothing_for_a_model() -> None:
    def handler(line: Line) -> None: ...

    with pytest.raises(PayloadMismatch, match="Expected JSON, got `bytes`"):
        Handler(handler).arguments(b'{"n":1}', "text/plain")


@pytest.mark.parametrize(
    ("annotation", "why"),
    [
        (Plain, "no JSON becomes a Plain; make it a dataclass, a TypedDict, a msgspec.Struct or a pydantic model"),
        (list[Plain], "no JSON becomes a Plain"),
        (Path, "no JSON becomes a Path; use str, and make the Path in the handler"),
        (StructWithPath, "no JSON becomes a Path"),
        (dict[str, Path] | None, "no JSON becomes a Path"),
        (Iterator[int], "no JSON becomes a Iterator; JSON has lists: use list[...]"),
        (Generator[int, None, None], "no JSON becomes a Generator; JSON has lists"),
        (complex, "no JSON becomes a complex"),
        (Data | Attrs, "Type unions may not contain more than one"),
        (StructWithModel, "one parameter cannot mix its models with attrs classes, msgspec structs"),
        (list[Line | Attrs], "one parameter cannot mix its models"),
    ],
)
def test_a_type_that_no_json_becomes_is_refused_at_registration(annotation: Any, why: str) -> None:
    text = unreadable(annotation)

    assert "handler: parameter 'order': " in text
    assert why in text


def test_parameters_that_no_payload_can_give_are_refused_with_what_to_write() -> None:
    def endless(*values: int) -> None: ...

    def nameless(value: int, /) -> None: ...

    def two(a: Context, b: Context | None) -> None: ...

    def ambiguous(named: Named) -> None: ...

    assert refused(endless).endswith(
        "parameter 'values' cannot be given by its name, as a payload gives it; declare a list"
    )
    assert refused(nameless).endswith("as a payload gives it; declare it without the /")
    assert refused(two).endswith("parameter 'b' is a second Context; 'a' gets it already")
    assert "parameter 'named' is called as one of its own type's fields" in refused(ambiguous)
    assert "names 'Missing', which its module does not have" in refused(not_there)


def not_there(a: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("name", ["ctx", "context"])
def test_a_context_without_its_annotation_is_refused_with_the_fix(name: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def handler({name}, phone): ...\ndef any_({name}: object, phone): ...", scope)

    assert f"parameter {name!r} has no annotation" in refused(scope["handler"])
    assert f"write {name}: Context" in refused(scope["handler"])
    assert Handler(scope["any_"]).context_name is None


class Empty: ...


class Methods:
    def take(self, order: str) -> None: ...

    async def wait(self, run: Context, order: str) -> None: ...

    def __call__(self, order: str) -> None: ...


@pytest.mark.parametrize("made", [Empty, Methods, Data, partial(Plain, "here")])
def test_a_class_is_no_handler(made: Any) -> None:
    app = App("shop")

    for register in (app.task("order.take"), app.batch("order.take")):
        with pytest.raises(
            TypeError, match=r"\w+ is a class, and calling it only makes an object of it; register a func"
        ):
            register(made)
    assert app.tasks == {}


def test_a_method_without_its_object_is_refused_and_that_of_an_object_is_a_handler() -> None:
    for method in (Methods.take, Methods.wait, Methods.__call__):
        assert "parameter 'self' has no annotation, so it would be a field of the payload; a method" in refused(method)
    for made in (Methods().take, Methods().wait, Methods(), partial(Methods.take, Methods())):
        assert Handler(made).arguments(b'{"order":"42"}') == {"order": "42"}


def test_a_field_of_a_payload_may_be_called_self() -> None:
    def handler(self: int, order: str) -> None: ...

    assert Handler(handler).arguments(b'{"self":1,"order":"42"}') == {"self": 1, "order": "42"}


def test_an_optional_context_gets_the_context() -> None:
    def a(x: int, run: Context | None = None) -> None: ...

    def b(x: int, run: Optional[Context]) -> None: ...  # noqa: UP045 - this spelling is what is tested

    def c(x: int, run: Annotated[Context, "mine"]) -> None: ...

    for function in (a, b, c):
        assert Handler(function).context_name == "run"
        assert Handler(function).arguments(b'{"x":1}') == {"x": 1}


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found = [record for record in caplog.records if record.getMessage() == "task.unknown_fields"]
    assert {record.levelno for record in found} <= {logging.WARNING}
    return [(vars(record)["type"], vars(record)["fields"]) for record in found]


def test_names_that_no_parameter_has_are_left_out_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def handler(a: int, b: int = 2) -> None: ...

    read_by = Handler(handler, "sum").arguments
    for _ in range(3):
        assert read_by(b'{"a":1,"new":"sesame","old":{}}') == {"a": 1}
        assert read_by(b'{"old":1,"a":1,"new":[],"b":3}') == {"a": 1, "b": 3}
    read_by(b'{"a":1,"other":1}')

    assert told(caplog) == [("sum", "new, old"), ("sum", "other")]
    assert "sesame" not in caplog.text
    with pytest.raises(PayloadMismatch, match=re.escape("Expected `int`, got `str` - at `$.a`")):
        read_by(b'{"new":1,"a":"x"}')


def test_names_of_the_whole_payload_that_its_type_does_not_have_are_treated_alike(
    caplog: pytest.LogCaptureFixture,
) -> None:
    more = FIELDS.replace('"colour"', '"more":1,"colour"')

    for kind in (Struct, Data, Attrs, Typed):
        assert read(kind, more) == read(kind, FIELDS)
        assert "unknown field" in str(refusal(kind, more, unknown="refuse"))
    assert told(caplog) == [("order.take", "more")] * 4


def test_unknown_names_are_refused_where_that_is_asked() -> None:
    app = App()

    @app.task("sum", unknown="refuse")
    def handler(a: int) -> None: ...

    with pytest.raises(PayloadMismatch) as caught:
        app.tasks["sum"].handler.arguments(b'{"a":1,"b":2}')
    assert str(caught.value) == "Object contains unknown field `b`"
    assert caught.value.kind == "Object contains unknown field - at `$`"

    with pytest.raises(InvalidTask, match="unknown"):
        app.task("other", unknown="warn")  # type: ignore[arg-type]


def test_what_is_logged_of_unknown_names_has_an_end(caplog: pytest.LogCaptureFixture) -> None:
    def handler(a: int) -> None: ...

    read_by = Handler(handler, "sum").arguments
    for n in range(MOST_TOLD + 20):
        read_by(msgspec.json.encode({"a": 1} | {f"{'z' * 50}{n}_{m}": n for m in range(50)}))

    assert len(told(caplog)) == MOST_TOLD
    assert {len(fields.split(", ")) for _, fields in told(caplog)} == {16}


def test_a_key_that_cannot_be_the_name_of_a_field_is_counted_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    def handler(a: int) -> None: ...

    Handler(handler, "sum").arguments(b'{"a":1,"new":1,"+49 170 1234":2,"a-b":3}')

    assert told(caplog) == [("sum", "new")]
    assert vars(caplog.records[-1])["others"] == 2
    assert "1234" not in str(vars(caplog.records[-1]))
