"""The page of the Python interface: every public name with its fields, signatures and docstrings.

All of it is read off the source, so that annotations stand there as they were written.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import redsched
import redsched.testing
from redsched.client.aio.schedules import AsyncSchedules
from tools.docs.docstrings import markdown

_INTRO = """# Python

Every public name of `redsched`, from its source. `Client` has the methods of `AsyncClient`, without `await`.

"""
# a part of a module's name -> the heading of its names; the first that fits counts
_PARTS = {
    "redsched.client": "Clients",
    "redsched.engine": "Applications, workers and movers",
    "redsched.model.task": "Tasks",
    "redsched.model.template": "Tasks",
    "redsched.model.retry": "Retries",
    "redsched.model.outcome": "How a run ends",
    "redsched.model.condition": "Conditions",
    "redsched.model.events": "Events and rules",
    "redsched.model.workflows": "Workflows",
    "redsched.schedule": "Schedules",
    "redsched.model.schedule": "Schedules",
    "redsched.model.errors": "Errors",
    "redsched.settings": "Settings",
    "redsched.testing": "Tests of your application",
    "": "What calls answer",
}
_PUBLIC = {*redsched.__all__, *redsched.testing.__all__} - {"RedschedError"}
_NOT_MADE = {"Context", "DirectContext", "AsyncSchedules", "RunFailed", "TooManyRuns"}  # redsched makes them
_OF_ASYNC = {"Client": "AsyncClient", "TestClient": "AsyncTestClient"}  # the one is documented as the other


def page() -> str:
    """Every public name, as a page."""
    parts: dict[str, list[str]] = {heading: [] for heading in _PARTS.values()}
    for package in (redsched, redsched.testing):
        for name in package.__all__:
            module = package._MODULE_OF[name]
            if not module.startswith("redsched."):
                module = f"{package.__name__}.{module}"
            heading = next(words for place, words in _PARTS.items() if module.startswith(place))
            parts[heading].append(_about(name, getattr(package, name), module))
            if name == "AsyncClient":
                parts[heading].append(_about("AsyncClient.schedules", AsyncSchedules, module))
    return _INTRO + "\n".join(f"## {heading}\n\n" + "\n".join(texts) for heading, texts in parts.items() if texts)


def _about(name: str, value: Any, module: str) -> str:
    text = [f"### {name}\n"]
    if name in _OF_ASYNC:
        return f"### {name}\n\n`{_OF_ASYNC[name]}` for code that does not await: the same methods, without `await`.\n"
    if not inspect.isclass(value) and not inspect.isfunction(value):
        return "\n".join([*text, _code(_alias(name, module)), ""])
    if not inspect.isclass(value):
        tree = _tree(value)
        return "\n".join([*text, _code(_signatures(name, [tree])), markdown(inspect.getdoc(value) or ""), ""])
    text += [_constructor(value), markdown(inspect.getdoc(value) or ""), ""]
    base = next((kind for kind in value.__mro__[1:] if kind.__name__ in _PUBLIC), None)
    inherited = set(base.__mro__) if base else set()
    kinds = [kind for kind in value.__mro__ if kind.__module__.startswith("redsched") and kind.__name__ != "Verbs"]
    declared = [line for kind in reversed(kinds) for line in fields(kind)]
    text += [*declared, ""] if declared else []
    for kind in (*kinds[1:], *kinds[:1]):  # what a client is made of says more than the client itself
        if kind not in inherited:
            text += _methods(name, kind)
    if base is not None and any(_methods(name, kind) for kind in kinds if kind in inherited):
        text.append(f"It has what `{base.__name__}` has, too.\n")
    return "\n".join(text)


def _constructor(kind: type) -> str:
    """How an object of a class is made, where the fields do not say it and people make one."""
    found = next((node for node in _tree(kind).body if getattr(node, "name", "") == "__init__"), None)
    if found is None or kind.__name__ in _NOT_MADE:
        return ""
    return _code(_signature(kind.__name__, found).removeprefix("def ").removesuffix(" -> None"))


def _alias(name: str, module: str) -> str:
    """The line that gives a type another name."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    return next(
        ast.unparse(node)
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in ast.unparse(node).partition("=")[0].split()
    )


def _tree(value: Any) -> Any:
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def fields(kind: type) -> Iterator[str]:
    """The fields that a class declares; the text of one is its docstring or the comment beside it."""
    source = textwrap.dedent(inspect.getsource(kind))
    lines, body = source.splitlines(), _tree(kind).body
    for at, node in enumerate(body):
        if not isinstance(node, ast.AnnAssign) or ast.unparse(node.target).startswith("_"):
            continue
        if not hasattr(kind, "__struct_fields__") and "TypedDict" not in str(getattr(kind, "__orig_bases__", "")):
            continue
        annotation, default = ast.unparse(node.annotation), ""
        if annotation.startswith("Annotated["):
            annotation = ast.unparse(node.annotation.slice.elts[0])  # type: ignore[attr-defined]
        if node.value is not None:
            default = f" = {_plain(node.value, kind)}"
        told = body[at + 1].value if at + 1 < len(body) and isinstance(body[at + 1], ast.Expr) else None
        comment = lines[node.end_lineno - 1][node.end_col_offset :].strip() if node.end_lineno else ""
        text = "" if "type: ignore" in comment else comment.removeprefix("# ")
        if isinstance(told, ast.Constant):
            text = markdown(inspect.cleandoc(str(told.value)))
        field = _quoted(f"{ast.unparse(node.target)}: {annotation}{default}")
        yield f"- `{field}`" + (f" – {' '.join(text.split())}" if text else "")


def _plain(value: ast.expr, kind: type) -> str:
    """A default; that of a name is what the name stands for."""
    text = ast.unparse(value)
    return repr(getattr(sys.modules[kind.__module__], text)) if isinstance(value, ast.Name) and text.isupper() else text


def _methods(name: str, kind: type) -> list[str]:
    """The public methods and properties that a class defines, those with several signatures once."""
    return list(_each_method(name, kind))


def _each_method(name: str, kind: type) -> Iterator[str]:
    defined: dict[str, list[Any]] = {}
    for node in _tree(kind).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            defined.setdefault(node.name, []).append(node)
    for method, nodes in defined.items():
        text = markdown(next((doc for node in nodes if (doc := ast.get_docstring(node))), ""))
        decorators = {ast.unparse(decorator) for node in nodes for decorator in node.decorator_list}
        yield f"#### {name}.{method}\n"
        if "property" in decorators:
            yield _code(f"{method}: {ast.unparse(nodes[0].returns)}" if nodes[0].returns else method)
        else:
            yield _code(_signatures(method, nodes))
        yield f"{text}\n"


def _signatures(name: str, nodes: list[Any]) -> str:
    overloads = [node for node in nodes if any(ast.unparse(one) == "overload" for one in node.decorator_list)]
    return "\n".join(_signature(name, node) for node in overloads or nodes)


def _signature(name: str, node: Any) -> str:
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults
    words = [_argument(arg, default) for arg, default in zip(positional, defaults, strict=True)]
    if given.posonlyargs:
        words.insert(len(given.posonlyargs), "/")
    if positional and positional[0].arg in ("self", "cls"):
        words = words[1:]
        words = words[1:] if words[:1] == ["/"] else words
    if given.vararg:
        words.append(f"*{_argument(given.vararg, None)}")
    elif given.kwonlyargs:
        words.append("*")
    words += [_argument(arg, default) for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.kwarg:
        words.append(f"**{_argument(given.kwarg, None)}")
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    begins = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    line = f"{begins} {name}({', '.join(words)}){returns}"
    return line if len(line) <= 100 else f"{begins} {name}(\n    " + ",\n    ".join(words) + f",\n){returns}"


def _argument(arg: ast.arg, default: ast.expr | None) -> str:
    typed = f"{arg.arg}: {ast.unparse(arg.annotation)}" if arg.annotation else arg.arg
    if default is None:
        return typed
    return f"{typed} = {ast.unparse(default)}" if arg.annotation else f"{typed}={ast.unparse(default)}"


def _code(text: str) -> str:
    return f"```python\n{_quoted(text)}\n```\n"


def _quoted(text: str) -> str:
    return re.sub(r"'([^'\"\n]*)'", r'"\1"', text)  # the parser quotes as the house does not
