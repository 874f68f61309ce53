"""What the methods of a client take and give has a public name and a docstring, and so has each method."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from typing import Any

import redsched
from redsched.client import AsyncClient
from redsched.client.aio.schedules import AsyncSchedules

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
