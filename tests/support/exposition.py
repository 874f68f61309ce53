"""Samples of the text that Prometheus reads."""

from __future__ import annotations

import re


def value(text: bytes, name: str, **labels: str) -> float | None:
    """One sample of an exposition text; None where it is missing."""
    for line in text.decode().splitlines():
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if match and match[1] == name and dict(re.findall(r'(\w+)="([^"]*)"', match[2] or "")) == labels:
            return float(match[3])
    return None
