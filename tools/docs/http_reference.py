"""The page of the HTTP interface: its routes, its errors, and where the JSON Schema of a task is."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

from starlette.routing import Route

from redsched import web
from redsched.client import AsyncClient
from redsched.settings import Settings
from redsched.web.app import create_app
from redsched.web.problems import TITLES
from tools.docs.code_reference import fields
from tools.docs.docstrings import markdown

_INTRO = """# HTTP

Every request and answer is JSON. How to use them is in [Submit over HTTP](../guides/http.md). The fields of a task
are in [their table](task-fields.md), and as [JSON Schema](../files/redsched/web/task.schema.json).

An action stands after a colon, such as `POST /v1/tasks/{id}:cancel`.

## Requests

| request | what it does |
|---|---|
"""
_BODIES = """
## Bodies

What stands in the body of a request. A field without a default must be given; one that is not listed is refused.

"""
_LEFT_OUT = {"TaskBody", "NoBody", "Body", "_Body"}  # of a task, whose fields have a page; of nothing; of an answer
_ERRORS = """
## Errors

An error is `application/problem+json` with a stable `code`.

| status | code | what it means |
|---|---|---|
"""


def page() -> str:
    """Every request and every code, as a page."""
    rows = [f"| `{method} {path}` | {text} |" for path, method, text in _requests()]
    codes = [
        f"| {status} | `{code}` | {title} |" for code, (status, title) in sorted(TITLES.items(), key=lambda c: c[1])
    ]
    return _INTRO + "\n".join(rows) + "\n" + _BODIES + "\n".join(_bodies()) + "\n" + _ERRORS + "\n".join(codes) + "\n"


def _requests() -> Iterator[tuple[str, str, str]]:
    client = AsyncClient("redis://127.0.0.1:1/0", settings=Settings())  # connects when it is used, which it is not
    for route in create_app(Settings(), client).routes:
        assert isinstance(route, Route)
        methods = sorted((route.methods or set()) - {"HEAD"})
        text = markdown(inspect.getdoc(route.endpoint) or "").replace("\n", " ").replace("|", "\\|")
        for method in methods:
            actions = _actions(route) or _named(text)
            if not actions:
                yield route.path, method, text
            for action, told in actions.items():
                yield f"{route.path}:{action}", method, told


def _named(text: str) -> dict[str, str]:
    """The actions that the docstring of a route begins with, such as ``POST /v1/queues/{queue}:pause``."""
    found = re.match(r"`POST [^`]*:(\w+)`(?: and `:(\w+)`)?[.:,]? ?(.*)", text)
    if found is None:
        return {}
    first, second, told = found.groups()
    text = f"{told[:1].upper()}{told[1:]}" or "What its name says."
    return dict.fromkeys([name for name in (first, second) if name], text)


def _bodies() -> Iterator[str]:
    """Each structure that a body is read into, but for that of a task, which has a page of its own."""
    for module in pkgutil.iter_modules(web.__path__, f"{web.__name__}."):
        for name, kind in vars(importlib.import_module(module.name)).items():
            if name.endswith("Body") and name not in _LEFT_OUT and kind.__module__ == module.name:
                yield f"### {name.removesuffix('Body')}\n\n{markdown(inspect.getdoc(kind) or '')}\n"
                yield "\n".join(fields(kind)).replace("msgspec.Raw", "any JSON") + "\n"


def _actions(route: Route) -> dict[str, str]:
    """The actions of a route whose path ends in a name and one of them: action -> what it does."""
    found = getattr(getattr(route.endpoint, "__self__", None), "_actions", {})
    if getattr(route.endpoint, "__name__", "") != "act":
        return {}
    return {
        name: re.sub(r"\s+", " ", markdown(inspect.getdoc(method) or "")).replace("|", "\\|")
        for name, method in found.items()
    }
