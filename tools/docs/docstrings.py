"""Docstrings as Markdown."""

from __future__ import annotations

import re


def markdown(text: str) -> str:
    """A docstring as Markdown: code between single backticks, and what is raised as a list."""
    text = text.replace("``", "`")
    before, raises, after = text.partition("Raises:\n")
    if not raises:
        return text.strip()
    items = re.sub(r"\n {8}", " ", "\n" + after)  # a line that goes on
    items = re.sub(r"^ {4}([\w.]+):", r"- `\1`:", items, flags=re.MULTILINE)
    return f"{before}Raises:\n{items}".strip()
