"""What a strict client says of a payload that does not fit: in words, and without a value of it."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from typing import Annotated, Any, Literal

import msgspec
import pytest

from redsched import App
from redsched.client.payload_schema import PayloadSchema

app = App("shop")


class Colour(enum.Enum):
    red = "red"
    blue = "blue"


class Address(msgspec.Struct):
    street: str
    number: Annotated[int, msgspec.Meta(ge=1, le=99)] = 1


@app.task("order")
def order(
    name: str | None,
    either: int | str | None = None,
    size: Literal["s", "m"] | None = None,
    price: decimal.Decimal | None = None,
    token: uuid.UUID | None = None,
    colour: Colour | None = None,
    plain: Colour = Colour.red,
    address: Address | None = None,
    home: Address | None = None,
    tags: list[str] | None = None,
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None,
    members: dict[str, int] | None = None,
    gift: bool = False,
    ratio: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5,
    code: Annotated[str, msgspec.Meta(min_length=3, pattern="^[a-z]+$")] = "abc",
    when: datetime.datetime | None = None,
) -> None: ...


SCHEMA = PayloadSchema(msgspec.json.decode(app.tasks["order"].handler.schema() or b"{}"))


@pytest.mark.parametrize(
    ("given", "where", "told"),
    [
        ({"name": 7}, "$.name", "it must be a text or null"),
        ({"either": [1.5]}, "$.either", "it must be a whole number, a text or null"),
        ({"size": "xl"}, "$.size", 'it must be "m", "s" or null'),
        ({"price": 1}, "$.price", "it must be a text that is a decimal or null"),
        ({"token": 1}, "$.token", "it must be a text that is a uuid or null"),
        ({"colour": "green"}, "$.colour", 'it must be "blue", "red" or null'),
        ({"plain": "green"}, "$.plain", 'it must be "blue" or "red"'),
        ({"address": 1}, "$.address", "it must be an object or null"),
        ({"address": {"number": 1}}, "$.address", "street is required"),
        ({"home": {"street": "x", "number": 100}}, "$.home.number", "it must be at most 99"),
        ({"tags": 1}, "$.tags", "it must be a list or null"),
        ({"tags": [1]}, "$.tags[0]", "it must be a text"),
        ({"count": "x"}, "$.count", "it must be a whole number of at least 1 or null"),
        ({"members": 1}, "$.members", "it must be an object or null"),
        ({"gift": "yes"}, "$.gift", "it must be true or false"),
        ({"ratio": 1}, "$.ratio", "it must be less than 1"),
        ({"code": "ab"}, "$.code", "it must be at least 3 characters long"),
        ({"code": "abC"}, "$.code", "it must be a text that matches ^[a-z]+$"),
        ({"when": 1.5}, "$.when", "it must be a text or null"),
    ],
)
def test_what_was_expected_is_told_in_words(given: dict[str, Any], where: str, told: str) -> None:
    assert SCHEMA.problem({"name": "x"} | given) == f"does not fit its type at {where}: {told}"


@pytest.mark.parametrize(
    ("schema", "value", "told"),
    [
        ({"const": 5}, 6, "it must be 5"),
        ({"type": ["string", "null"]}, 6, "it must be a text or null"),
        ({"enum": list(range(12))}, 50, "it must be 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 or one of 2 others"),
        ({"not": {"type": "integer"}}, 1, "it must be as its schema says (not)"),
        ({"anyOf": [{"type": "string"}, {"not": {}}]}, 1, "it must be as its schema says (anyOf)"),
        ({"minItems": 2}, [1], "it must be a list of at least 2"),
        (True, 1, ""),
    ],
)
def test_other_schemas_have_words_too(schema: Any, value: Any, told: str) -> None:
    problem = PayloadSchema(schema).problem(value)
    assert problem.partition(": ")[2] == told
    assert "{" not in problem
