"""A handler that runs in a process of its own: for work that computes, which in a thread would hold up all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redsched.engine.context import Context
from redsched.engine.handler import Handler


class ProcessHandler(Handler):
    """The handler ``plain``, to those that run it: its function has a process of the worker call it.

    Raises:
        TypeError: another process could not find the function, or it is a coroutine function.
    """

    def __init__(self, plain: Handler) -> None:
        self.__dict__.update(plain.__dict__)
        function = plain.function
        self.module = getattr(function, "__module__", None) or ""
        self.name = getattr(function, "__qualname__", "")
        shown = self.name or repr(function)
        if plain.is_async:
            raise TypeError(
                f"{shown}: a coroutine function runs on the event loop; process=True is for plain functions"
            )
        if self.module == "__main__" or not self.module or not self.name or "<" in self.name:
            raise TypeError(
                f"{shown}: another process has to import the function by its name; put it at the top of a module that "
                "is not the program itself"
            )
        self.unknown = "refuse" if plain.refuses else "ignore"
        self.is_async = True
        self.context_name = "context"
        self.function: Callable[..., Any] = self._call

    def arguments(self, payload: bytes, content_type: str | None = None) -> dict[str, Any]:
        """The process reads the payload itself; here it is only looked at. Raises PayloadMismatch."""
        super().arguments(payload, content_type)
        return {}

    async def _call(self, context: Context) -> Any:
        return await context.processes.call(context, self)
