"""For tests of applications that use redsched: a client in memory with a clock that the test moves.

The Lua, the runner of handlers and the decisions about schedules are those of production. Time passes only where a
test says so, hence a test of a day takes milliseconds. Each name is loaded when it is first used, for pytest loads the
plugin in every run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redsched.testing.client import AsyncTestClient, TestClient
    from redsched.testing.context import DirectContext, make_context
    from redsched.testing.runs import Run, RunFailed
    from redsched.testing.stage import TooManyRuns

_MODULE_OF = {
    "AsyncTestClient": "client",
    "DirectContext": "context",
    "Run": "runs",
    "RunFailed": "runs",
    "TestClient": "client",
    "TooManyRuns": "stage",
    "make_context": "context",
}

__all__ = ["AsyncTestClient", "DirectContext", "Run", "RunFailed", "TestClient", "TooManyRuns", "make_context"]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'redsched.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"redsched.testing.{module}"), name)
