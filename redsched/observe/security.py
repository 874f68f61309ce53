"""``doctor --security``: whether this Redis, and the credentials that redsched has for it, are safe to use.

It only asks; what the credentials may not ask is taken for a good sign, because a locked-down user cannot ask either.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from redsched.client import Client
from redsched.observe.doctor.report import Line
from redsched.settings import Settings
from redsched.steps import doctor as doctor_steps
from redsched.wire.codec import text_of
from redsched.wire.redis_errors import Refused

LOOPBACK = ("127.0.0.1", "::1", "localhost")
LOCK_DOWN = "redsched acl print --queue <queue> --role worker"
# what no producer, worker or observer needs, each with arguments that ACL DRYRUN accepts
DANGEROUS: tuple[tuple[str, ...], ...] = (
    ("EVAL", "return 1", "0"), ("SCRIPT", "LOAD", "x"), ("FUNCTION", "LOAD", "x"), ("FUNCTION", "FLUSH"),
    ("CONFIG", "SET", "x", "y"), ("ACL", "SETUSER", "x"), ("FLUSHALL",), ("KEYS", "*"), ("SHUTDOWN",), ("MONITOR",),
    ("REPLICAOF", "NO", "ONE"), ("DEBUG", "SLEEP", "0"), ("MODULE", "LOAD", "x"), ("RESTORE", "x", "0", "y"),
    ("CLIENT", "KILL", "TYPE", "normal"),
)  # fmt: skip


def security_checks(client: Client) -> list[Line]:
    """One line a thing that was looked at."""
    whoami, default, config = client.converse(
        "doctor",
        doctor_steps.ask(
            ("ACL", "WHOAMI"),
            ("ACL", "GETUSER", "default"),
            ("CONFIG", "GET", "*"),
        ),
    )
    user = "" if isinstance(whoami, Refused) else text_of(whoami)
    settings = {} if isinstance(config, Refused) else _pairs(config)
    may = []
    if user:
        tried = client.converse("doctor", doctor_steps.ask(*(("ACL", "DRYRUN", user, *words) for words in DANGEROUS)))
        may = [_named(words) for words, answer in zip(DANGEROUS, tried, strict=True) if _allowed(answer)]
    found = [_transport(client.settings), _verified(client.settings), _user(user), _rights(may)]
    found += _default_user(default, settings)
    if settings:
        found.append(_debug(settings))
    return found


def _transport(settings: Settings) -> Line:
    url = urlsplit(settings.redis_url)
    if url.scheme == "rediss":
        return Line("OK", "tls", "the connection is encrypted")
    if url.scheme == "unix" or (url.hostname or "localhost") in LOOPBACK:
        return Line("OK", "tls", "the connection does not leave this machine")
    return Line(
        "WARN",
        "tls",
        "the connection is not encrypted",
        "payloads and the password cross the network as text",
        "use rediss:// with REDSCHED_REDIS_CA",
    )


def _verified(settings: Settings) -> Line:
    if settings.redis_insecure:
        return Line(
            "FAIL",
            "certificate",
            "REDSCHED_REDIS_INSECURE is set",
            "anybody on the way may pose as the server",
            "unset it and give REDSCHED_REDIS_CA",
        )
    if settings.redis_cert:
        return Line("OK", "certificate", "the server is verified, and so are we")
    return Line("OK", "certificate", "verification is on")


def _user(user: str) -> Line:
    if user == "default":
        return Line(
            "WARN",
            "user",
            "these are the credentials of the default user",
            "every program with them may do everything",
            LOCK_DOWN,
        )
    return Line("OK", "user", f"a user of its own{': ' + user if user else ''}")


def _rights(may: list[str]) -> Line:
    if may:
        return Line(
            "WARN",
            "rights",
            f"these credentials may run {', '.join(may)}",
            "whoever gets them owns the server",
            LOCK_DOWN,
        )
    return Line("OK", "rights", "no command that a worker does not need")


def _default_user(reply: Any, settings: dict[str, str]) -> list[Line]:
    """Whether anybody who reaches the port is let in."""
    if isinstance(reply, Refused):
        return []
    flags = [text_of(flag) for flag in _pairs_raw(reply).get("flags", ())]
    if "on" not in flags:
        return [Line("OK", "default user", "off")]
    if "nopass" not in flags:
        return [
            Line(
                "WARN",
                "default user",
                "on, with a password",
                "one secret for every program",
                "ACL SETUSER default off, once every client has a user of its own",
            )
        ]
    bound = settings.get("bind", "").replace("-", "").split()
    near = settings.get("protected-mode") == "yes" or (bound and all(host in LOOPBACK for host in bound))
    return [
        Line(
            "WARN" if near else "FAIL",
            "default user",
            "on, without a password",
            "every program of this machine may do everything" if near else "everybody who reaches the port may",
            "ACL SETUSER default off, once every client has a user of its own",
        )
    ]


def _debug(settings: dict[str, str]) -> Line:
    open_ones = [name for name in ("enable-debug-command", "enable-module-command") if settings.get(name) == "yes"]
    if open_ones:
        return Line(
            "WARN",
            "debug",
            f"{', '.join(open_ones)} is yes",
            "they can stop the server or load code",
            "set it to no and restart the server",
        )
    return Line("OK", "debug", "commands for debugging are off")


def _allowed(answer: Any) -> bool:
    return not isinstance(answer, Refused) and text_of(answer) == "OK"


def _named(words: tuple[str, ...]) -> str:
    containers = ("SCRIPT", "FUNCTION", "CONFIG", "ACL", "CLIENT", "MODULE", "DEBUG")
    return " ".join(words[: 2 if words[0] in containers else 1])


def _pairs_raw(reply: Any) -> dict[str, Any]:
    return {text_of(reply[at]): reply[at + 1] for at in range(0, len(reply) - 1, 2)}


def _pairs(reply: Any) -> dict[str, str]:
    return {name: text_of(value) for name, value in _pairs_raw(reply).items()}
