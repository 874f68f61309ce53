"""Definitions of schedules and rules in files: TOML, or JSON whose payloads stay as they are written."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import date, time
from pathlib import Path
from typing import Any

import click

from redsched.cli import parse


def rule(path: Path) -> dict[str, Any]:
    """The definition of a rule; a usage error where there is none."""
    import msgspec

    from redsched.schedule.definition import keep_payload

    text = path.read_bytes()
    try:
        if path.suffix == ".toml":
            return tomllib.loads(text.decode())
        written = bytes(parse.checked_json(text))
        found: dict[str, Any] = msgspec.json.decode(written, type=dict[str, Any])
        keep_payload(found, written)
        return found
    except (ValueError, msgspec.DecodeError) as error:
        raise click.UsageError(f"{path}: {error}") from None


def schedules(name: str) -> Sequence[dict[str, Any]]:
    """The definitions of a TOML or JSON file; a usage error where there are none."""
    try:
        content = Path(name).read_bytes()
        is_json = name.endswith(".json")
        found = _written(bytes(parse.checked_json(content))) if is_json else tomllib.loads(content.decode())
    except OSError as error:
        raise click.BadParameter(f"{name}: {error.strerror}; nothing was written", param_hint="--file") from None
    except ValueError as error:
        raise click.BadParameter(f"{name}: {error}; nothing was written", param_hint="--file") from None
    listed = _as_json(found.get("schedule") if isinstance(found, dict) else found)
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise click.BadParameter(f"{name}: has no [[schedule]] tables; nothing was written", param_hint="--file")
    return listed


def _written(text: bytes) -> Any:
    """The definitions of JSON, a list or ``{"schedule": [...]}``, each with its payload as it is written."""
    import msgspec

    from redsched.schedule.definition import keep_payload

    found = msgspec.json.decode(text)
    if isinstance(found, dict):
        parts = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        return {"schedule": _written(bytes(parts.get("schedule", b"null")))}
    if isinstance(found, list):
        for one, part in zip(found, msgspec.json.decode(text, type=list[msgspec.Raw]), strict=True):
            if isinstance(one, dict):
                keep_payload(one, bytes(part))
    return found


def _as_json(value: Any) -> Any:
    """With the dates and times of TOML as the texts that JSON has in their place; a payload keeps its own."""
    if isinstance(value, dict):
        return {name: item if name == "payload" else _as_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value.isoformat() if isinstance(value, date | time) else value  # a datetime is a date, too
