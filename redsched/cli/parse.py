"""How text given on the command line becomes values; a refusal is a usage error that names the option."""

from __future__ import annotations

import sys
from codecs import BOM_UTF8
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from redsched.model.duration import UNITS_MS, duration_ms, duration_text, instant_ms, latest_ms, span_of
from redsched.model.duration import instant as at
from redsched.model.retry import Explicit, Exponential, Fixed, RetryPolicy

if TYPE_CHECKING:
    import msgspec

Value = TypeVar("Value")
_PAST = "redsched.past"  # where a command remembers that it was given --past
Callback = Callable[[click.Context, click.Parameter, Any], Any]


def _read_by(read: Callable[[str], Any]) -> Callback:
    def callback(context: click.Context, option: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        try:
            return read(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from None

    return callback


def _number(text: str) -> float:
    if not text.isascii() or "_" in text:
        raise ValueError(f"{text!r} is no number")
    return float(text)


def retry_policy(text: str) -> RetryPolicy:
    """``5s,1m,1h``, ``fixed:5s`` or ``exponential:5s:2:1h:0.2`` (base, factor, max, jitter; the rest has defaults).

    Raises:
        ValueError: says what is wrong.
    """
    kind, *parts = text.split(":")
    policy: RetryPolicy
    if kind == "fixed" and len(parts) == 1:
        policy = Fixed(span_of(parts[0]))
    elif kind == "exponential" and len(parts) <= 4:
        names = ("base", "factor", "max", "jitter")
        values = {
            name: _number(part) if name in ("factor", "jitter") else span_of(part)
            for name, part in zip(names, parts, strict=False)
        }
        policy = Exponential(**values)  # type: ignore[arg-type]
    elif not parts:
        policy = Explicit([span_of(part.strip()) for part in kind.split(",")])
    else:
        raise ValueError(f"{text!r}: write 5s,1m,1h or fixed:5s or exponential:5s:2:1h:0.2")
    policy.wire()
    return policy


def json_value(text: str) -> Any:
    """What the JSON of ``json_text`` says."""
    import msgspec

    return msgspec.json.decode(bytes(json_text(text)))


def json_text(text: str) -> msgspec.Raw:
    """JSON as it is written, ``@file`` with JSON in it, or ``-`` for standard input.

    Raises:
        ValueError: unreadable, or no JSON.
    """

    if text == "-":
        content = sys.stdin.buffer.read()
    elif text.startswith("@"):
        try:
            with open(text[1:], "rb") as file:
                content = file.read()
        except OSError as error:
            raise ValueError(f"{text[1:]}: {error.strerror}") from None
    else:
        content = text.encode("utf-8", "surrogateescape")
    return checked_json(content)


def checked_json(content: bytes) -> msgspec.Raw:
    """JSON that can be read in one way only, without the blanks around it.

    Raises:
        ValueError: it is none.
    """
    import msgspec

    from redsched.wire.json_checks import check_text

    content = content.removeprefix(BOM_UTF8)  # some editors begin a file with it
    try:
        msgspec.json.decode(content)
        check_text(content)
        return msgspec.json.decode(content, type=msgspec.Raw)
    except msgspec.ValidationError:
        raise ValueError("holds a number that is out of range") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"no JSON ({error}); a text needs its own quotes: '\"hello\"'") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None


def _pairs(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    pairs: dict[str, str] = {}
    for value in values:
        name, separator, content = value.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{value!r}: write name=value", context, option)
        pairs[name] = content
    return pairs or None


def _names(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    return tuple(part.strip() for part in value.split(",") if part.strip())


def strict_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--strict``, of commands that write tasks, or what makes them."""
    text = "Refuse a type that no worker has put, and a payload that does not fit it."
    return click.option("--strict", is_flag=True, help=text)(command)


def due_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--at``, ``--in`` and ``--past`` of a task; the command gets ``due`` and ``delay``, at most one of them."""
    for option in (
        click.option(
            "--past",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_remember_past,
            help="Allow a time more than a day ago.",
        ),
        click.option(
            "--in",
            "delay",
            metavar="DURATION",
            callback=span,
            help="Due after this long: 90s, 1h30m, 2d; a bare number is ms.",
        ),
        click.option(
            "--at",
            "due",
            metavar="TIME",
            callback=coming,
            help="Due at: RFC 3339 with an offset, or ms since the epoch; the past means now.",
        ),
    ):
        command = option(command)
    return command


def _remember_past(context: click.Context, option: click.Parameter, value: bool) -> None:
    context.meta[_PAST] = value


def _coming(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    """An instant that is not more than a day ago, unless the command was given ``--past``. It is by this machine's
    clock and only against mistakes: a wrong year, or numbers that were meant as a date."""
    found = instant(context, option, value)
    if found and not context.meta.get(_PAST):
        ago_ms = (datetime.now(UTC) - at(found)).total_seconds() * 1_000
        if ago_ms > UNITS_MS["d"]:
            problem = f"{value} is {duration_text(ago_ms)} ago; nothing was written. Give --past if that is meant."
            raise click.BadParameter(problem, context, option)
    return found


def _span(text: str) -> timedelta:
    """A duration as the client takes it."""
    return timedelta(milliseconds=duration_ms(text))


instant = _read_by(instant_ms)
latest = _read_by(latest_ms)
duration = _read_by(duration_ms)
span = _read_by(_span)
retry = _read_by(retry_policy)
payload = _read_by(json_text)
decoded = _read_by(json_value)
pairs: Callback = _pairs
names: Callback = _names
coming: Callback = _coming
