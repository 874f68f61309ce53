"""What a client can submit besides a type's name: a function that ``@app.task`` has registered, with its parameters."""

from __future__ import annotations

from typing import ParamSpec, Protocol

from redsched.model.task import Task

Given = ParamSpec("Given")


class Submittable(Protocol[Given]):
    """Makes tasks of one type from the arguments of its handler, the context left out."""

    def task(self, *args: Given.args, **kwargs: Given.kwargs) -> Task:
        """A task whose payload is these arguments."""
