"""The options of ``redsched task add`` that are fields of a task, made from the table of fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from redsched.cli import parse
from redsched.model.fields import FIELDS, Field
from redsched.model.vocabulary import PRIORITIES


def _several(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[str] | None:
    return list(values) or None


def _how(field: Field) -> dict[str, Any]:
    """How click reads the values of a kind."""
    match field.kind:
        case "choice":
            return {"type": click.Choice(PRIORITIES), "default": PRIORITIES[1], "show_default": True}
        case "whole":
            return {"type": click.IntRange(min=field.low)}
        case "duration" | "start_within":
            return {"metavar": "DURATION", "callback": parse.span}
        case "start_by":
            return {"metavar": "TIME", "callback": parse.coming}
        case "retry":
            return {"metavar": "POLICY", "callback": parse.retry}
        case "texts":
            return {"multiple": True, "callback": _several}
        case "headers":
            return {"metavar": "NAME=VALUE", "multiple": True, "callback": parse.pairs}
        case "flag":
            return {"is_flag": True}
    return {}


def field_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each field that has one; the command gets their values by the names of the fields."""
    for field in reversed(FIELDS):
        if field.option:
            command = click.option(field.option, field.name, help=field.help or None, **_how(field))(command)
    return command
