"""Log lines: text for people, JSON for machines; one event a line, its facts as fields.

``log.info("task.dead", extra={"queue": queue, "task_id": task_id})``. A line never holds a payload, a result or a
secret, and no value can forge a second line: control characters are escaped.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from typing import Any, TextIO

import msgspec

from redsched.model import current_run, trace

MAX_VALUE = 500  # characters of one field; longer ones are cut
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_WITHHELD = frozenset(
    ("payload", "result", "headers", "progress", "authorization", "password", "api_token", "metrics_token")
)
_BARE = re.compile(r"[^\s=\"\\]+")
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_OUR_HANDLER = "redsched"


def configure(level: str = "info", format: str = "auto", stream: TextIO | None = None) -> None:
    """Send every log record of this process to ``stream`` (standard error); a repeated call replaces the first.

    ``format`` is ``text``, ``json`` or ``auto``: text on a terminal, JSON otherwise. What others than redsched log
    below WARNING is shown where a handler or the lifespan logs it, or where its logger was given a level.
    """
    target = sys.stderr if stream is None else stream
    text = format == "text" or (format == "auto" and target.isatty())
    handler = logging.StreamHandler(target)
    handler.set_name(_OUR_HANDLER)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == _OUR_HANDLER]:
        root.removeHandler(old)
    handler.addFilter(_is_wanted)
    root.addHandler(handler)
    root.setLevel(logging.INFO if level in ("debug", "info") else logging.WARNING)
    logging.getLogger("redsched").setLevel(level.upper())


class TextFormatter(logging.Formatter):
    """``2027-01-31T09:00:00.123Z INFO task.dead queue=otp task_id=42``; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """One line for one record."""
        parts = [_timestamp(record), record.levelname, _printable(record.getMessage())]
        parts.extend(f"{_printable(name)}={_text(value)}" for name, value in _fields(record).items())
        line = " ".join(parts)
        details = _traceback(self, record)
        if details:
            line += "".join(f"\n    {_printable(row)}" for row in details.splitlines())
        return line


class JsonFormatter(logging.Formatter):
    """``{"ts": ..., "level": "info", "event": "task.dead", "logger": ..., "queue": ...}``; a traceback is a field."""

    def format(self, record: logging.LogRecord) -> str:
        """One line for one record."""
        line: dict[str, Any] = {
            "ts": _timestamp(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        for name, value in _fields(record).items():
            line.setdefault(name, value if isinstance(value, bool | int | float) or value is None else _cut(value))
        details = _traceback(self, record)
        if details:
            line["traceback"] = details
        try:
            text = msgspec.json.encode(line).decode()
        except (UnicodeEncodeError, OverflowError):  # a lone surrogate, an integer beyond 64 bits
            plain = {_printable(name): _printable(str(value)) for name, value in line.items()}
            text = msgspec.json.encode(plain).decode()
        return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _is_ours(name: str) -> bool:
    return name == "redsched" or name.startswith("redsched.")


def _is_wanted(record: logging.LogRecord) -> bool:
    if record.levelno >= logging.WARNING or _is_ours(record.name) or current_run.is_of_the_application():
        return True
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None and logger.parent is not None:
        if logger.level:
            return True
        logger = logger.parent
    return False


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {name: value for name, value in vars(record).items() if name not in _STANDARD and name not in _WITHHELD}
    if not _is_ours(record.name):
        fields["logger"] = record.name
    run = current_run.current()
    if run is not None:
        for name, value in (("queue", run.queue), ("task_id", run.id), ("type", run.type), ("attempt", run.attempt)):
            fields.setdefault(name, value)
    context = trace.current()
    if context is not None:
        fields.setdefault("trace_id", context.trace_id)
        fields.setdefault("span_id", context.span_id)
    return fields


def _timestamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    details = record.exc_text or (formatter.formatException(record.exc_info) if record.exc_info else "")
    return f"{details}\n{formatter.formatStack(record.stack_info)}" if record.stack_info else details


def _cut(value: Any) -> str:
    text = f"<{len(value)} bytes>" if isinstance(value, bytes | bytearray) else str(value)
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "..."


def _text(value: Any) -> str:
    text = _cut(value)
    if text.isprintable() and _BARE.fullmatch(text):
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_printable(quoted)}"'


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
