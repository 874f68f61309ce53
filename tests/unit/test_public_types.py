"""What the methods of a client take and give has a public name and a docstring, and so has each method."""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import redsched
from redsched.client import AsyncClient
from redsched.client.aio.schedules import AsyncSchedules
from redsched.model.vocabulary import STATES

OF_THE_DOCTOR = {"Inspected"}  # what ``redsched doctor`` reads; no program needs it


def methods() -> Iterator[tuple[str, Any]]:
    for kind in (AsyncClient, AsyncSchedules):
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_"):
                yield f"{kind.__name__}.{name}", method


def classes(annotation: Any) -> Iterator[type]:
    """The classes of ours in an annotation."""
    if isinstance(annotation, type) and annotation.__module__.startswith("redsched."):
        yield annotation
    for one in typing.get_args(annotation):
        yield from classes(one)


def test_each_structure_of_a_signature_is_exported_with_a_docstring() -> None:
    found = {
        kind for _, method in methods() for hint in typing.get_type_hints(method).values() for kind in classes(hint)
    }

    assert len(found) > 20
    assert {kind.__name__ for kind in found} - set(redsched.__all__) == OF_THE_DOCTOR
    assert [kind for kind in found if not kind.__doc__] == []


def test_each_method_has_a_docstring_of_its_own() -> None:
    texts = {name: method.__doc__ for name, method in methods()}

    assert [name for name, text in texts.items() if not text] == []
    assert len(set(texts.values())) == len(texts)


def test_each_field_of_a_task_has_a_docstring_of_its_own() -> None:
    (kind,) = ast.parse(inspect.getsource(redsched.Task)).body
    assert isinstance(kind, ast.ClassDef)
    fields = {at: one.target.id for at, one in enumerate(kind.body) if isinstance(one, ast.AnnAssign) and named(one)}
    texts = {name: documented(kind.body[at + 1]) for at, name in fields.items()}

    assert texts.keys() == redsched.Task.__annotations__.keys()
    assert [name for name, text in texts.items() if not text.endswith(".") or "](" in text] == []
    assert len(set(texts.values())) == len(texts)


def named(one: ast.AnnAssign) -> bool:
    return isinstance(one.target, ast.Name)


def documented(one: ast.stmt) -> str:
    """The text, where a statement is nothing else."""
    return str(one.value.value) if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) else ""


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("cancel", "cancelled requested moved finished missing"),
        ("reschedule", "rescheduled expires running moved finished missing"),
        ("update", "updated expires running moved finished missing"),
        ("revive", "revived expires moved missing"),
        ("drop", "dropped missing"),
        ("requeue", "requeued expires missing no_hash wrong_type"),
        ("confirm", "confirmed refused missing"),
        ("abandon", "abandoned requested refused missing"),
        ("put_rule", "created updated unchanged"),
    ],
)
def test_the_words_of_an_answer_are_known_to_a_type_checker(verb: str, words: str) -> None:
    hint = typing.get_type_hints(getattr(AsyncClient, verb))["return"]
    known = {word.replace("_", " ") for word in words.split()}

    assert set(literals(hint)) - known in (set(), set(STATES))
    assert known <= set(literals(hint))


def literals(annotation: Any) -> Iterator[str]:
    """The words that an annotation allows."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    else:
        for one in typing.get_args(annotation):
            yield from literals(one)
