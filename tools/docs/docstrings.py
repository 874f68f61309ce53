"""Docstrings as Markdown."""

from __future__ import annotations

import re


def markdown(text: str) -> str:
    """A docstring as Markdown: code between single backticks, parameters and what is raised as lists."""
    text = _listed(text).replace("``", "`")
    before, raises, after = text.partition("Raises:\n")
    if not raises:
        return text.strip()
    items = re.sub(r"\n {8}", " ", "\n" + after)  # a line that goes on
    items = re.sub(r"^ {4}([\w.]+):", r"- `\1`:", items, flags=re.MULTILINE)
    return f"{before}Raises:\n{items}".strip()


def _listed(text: str) -> str:
    """With each paragraph of lines that begin with a name in code and a colon as a list."""
    lines, among = [""], False
    for line in text.splitlines():
        names = re.match(r"``[\w.]+``(, ``[\w.]+``)*: ", line) is not None
        if names and not among and lines[-1]:
            lines.append("")
        among = bool(line) and (among or names)
        lines.append(f"- {line}" if names else line)
    return "\n".join(lines)
