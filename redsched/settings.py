"""Every setting of a process, read once from the environment (``REDSCHED_*``) and then passed on.

A command-line flag wins over the environment, which wins over the default. Secrets may come from a file:
``REDSCHED_API_TOKEN_FILE`` names one that holds the token.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from redsched.model.duration import duration_ms
from redsched.model.errors import InvalidSetting
from redsched.model.vocabulary import DEFAULT_QUEUE, MAX_PAYLOAD_BYTES
from redsched.redis_url import problem_of

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
_TOKEN = re.compile(r"[^\s\x00-\x1f\x7f]{6,}")
_HOST = re.compile(r"\*|(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one process. Immutable; build another with ``msgspec.structs.replace``."""

    redis_url: str = DEFAULT_REDIS_URL  # redis://, rediss:// or unix://
    redis_ca: str = ""  # file of the authorities that may have signed a rediss:// server; empty: the system's
    redis_cert: str = ""  # file of the client certificate shown to a rediss:// server
    redis_key: str = ""  # file of its private key
    redis_insecure: bool = False  # allows ssl_cert_reqs=none in the URL: anybody may pose as the server
    namespace: str = "rs"  # the hash tag of cell 0
    queues: tuple[str, ...] = (DEFAULT_QUEUE,)  # queues a worker serves, in order
    concurrency: int = 16  # tasks one worker runs at a time
    prefetch: int = 500  # most tasks a worker holds beside those that run; it takes fewer while they are slow
    lease_ms: int = 30_000  # how long a claim lasts without renewal
    shutdown_grace_ms: int = 25_000  # how long running tasks may go on after SIGTERM
    max_payload_bytes: int = MAX_PAYLOAD_BYTES
    redis_timeout_ms: int = 5_000  # how long one answer of Redis may take
    durability: str = "memory"  # of an enqueue that names none: memory, fsync or replicas:n
    durability_wait_ms: int = 1_000  # how long replicas may take to acknowledge
    retry_for_ms: int = 10_000  # how long a call is repeated while Redis is away
    api_host: str = "127.0.0.1"
    api_port: int = 8787
    api_token: str = ""  # bearer token, 6 characters at least; without one only loopback may be bound
    api_allowed_hosts: tuple[str, ...] = ()  # names, or name:port, that Host may have beside loopback; * is any
    api_max_connections: int = 1_000  # at once; fewer where that leaves the process less than 128 files
    api_max_connections_a_peer: int = 250  # of one address; more where all come through a proxy
    api_head_timeout_ms: int = 10_000  # how long target and headers of a request may take
    idempotency_ttl_ms: int = 86_400_000  # how long an answer is kept for repeats with its Idempotency-Key
    max_body_bytes: int = 33_554_432  # of one HTTP request
    metrics_host: str = "127.0.0.1"  # of a worker or mover
    metrics_port: int = 0  # of a worker or mover; 0 serves none
    metrics_token: str = ""  # bearer token of /metrics; without one a worker's may be on loopback only
    log_level: str = "info"
    log_format: str = "auto"  # auto | text | json; auto is text on a terminal
    data_dir: str = ""  # of the embedded server; empty: $XDG_DATA_HOME/redsched
    demo_ledger: str = ""  # file in which the demo's handlers note every run

    def __post_init__(self) -> None:
        """Check every range; raises InvalidSetting."""
        _check("redis_url", not (problem := problem_of(self.redis_url)), problem)
        for name in ("api_token", "metrics_token"):
            token = getattr(self, name)
            _check(
                name,
                not token or _TOKEN.fullmatch(token) is not None,
                "must be 6 characters or more, without blanks; a long random text such as of openssl rand -hex 32",
            )
        for host in self.api_allowed_hosts:
            _check("api_allowed_hosts", _HOST.fullmatch(host) is not None, f"{host!r} is no name, name:port or *")
        tls = self.redis_url.startswith("rediss://")
        for name in ("redis_ca", "redis_cert", "redis_key"):
            _check(name, tls or not getattr(self, name), "is only for a rediss:// URL")
        _check("redis_key", bool(self.redis_cert) == bool(self.redis_key), "give redis_cert and redis_key, or neither")
        _check(
            "redis_url",
            self.redis_insecure or not _unverified(self.redis_url),
            "asks for a connection to a server that is not verified; set REDSCHED_REDIS_INSECURE=1 if that is meant",
        )
        _check("namespace", NAME.fullmatch(self.namespace) is not None, f"{self.namespace!r} is no name")
        _check("queues", len(self.queues) > 0, "give at least one")
        for queue in self.queues:
            _check("queues", NAME.fullmatch(queue) is not None, f"{queue!r} is no name")
            _check("queues", self.queues.count(queue) == 1, f"{queue!r} is named twice")
        for name, low, high in (
            ("concurrency", 1, 10_000),
            ("prefetch", 0, 1_000),
            ("lease_ms", 1_000, 3_600_000),
            ("shutdown_grace_ms", 0, 86_400_000),
            ("max_payload_bytes", 1, 16_777_216),
            ("redis_timeout_ms", 100, 600_000),
            ("retry_for_ms", 0, 600_000),
            ("api_port", 0, 65_535),
            ("durability_wait_ms", 1, 600_000),
            ("idempotency_ttl_ms", 1_000, 2_592_000_000),
            ("max_body_bytes", 1_024, 1_073_741_824),
            ("metrics_port", 0, 65_535),
            ("api_max_connections", 1, 1_000_000),
            ("api_max_connections_a_peer", 1, 1_000_000),
            ("api_head_timeout_ms", 100, 600_000),
        ):
            value = getattr(self, name)
            _check(name, low <= value <= high, f"{value} is outside {low}..{high}")
        _check(
            "durability",
            re.fullmatch(r"memory|fsync|replicas:[1-9][0-9]?", self.durability) is not None,
            f"{self.durability!r} is not memory, fsync or replicas:n (n of 1..99)",
        )
        _check(
            "log_level",
            self.log_level in ("debug", "info", "warning", "error"),
            f"{self.log_level!r} is not one of debug, info, warning, error",
        )
        _check(
            "log_format",
            self.log_format in ("auto", "text", "json"),
            f"{self.log_format!r} is not one of auto, text, json",
        )

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **flags: Any) -> Settings:
        """Flags that are not None, over the environment, over the defaults.

        Raises:
            InvalidSetting: names the variable or flag and what is wrong with it.
        """
        found = _from_environment(os.environ if environ is None else environ)
        found.update({name: value for name, value in flags.items() if value is not None})
        kinds = {field.name: field.type for field in msgspec.structs.fields(cls)}
        for name, value in found.items():
            if name not in kinds:
                raise InvalidSetting(name, "there is no such setting")
            try:
                found[name] = msgspec.convert(value, kinds[name], strict=False)
            except msgspec.ValidationError as error:
                raise InvalidSetting(name, f"{value!r}: {error}") from None
        return cls(**found)


def is_given(name: str, environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment names this setting."""
    return bool(_lookup(os.environ if environ is None else environ, name))


def redis_url_given(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the user named a Redis in the environment: such a URL always wins over the embedded server."""
    return is_given("redis_url", environ)


def default_data_dir(environ: Mapping[str, str] | None = None) -> str:
    """Where the embedded server keeps its data unless ``data_dir`` says otherwise."""
    found = os.environ if environ is None else environ
    return os.path.join(found.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"), "redsched")


def child_environment(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which a child process loads exactly these settings; secrets stay off its command line."""
    found = os.environ if environ is None else environ
    child = {name: value for name, value in found.items() if not name.startswith("REDSCHED_")}
    for field in msgspec.structs.fields(Settings):
        value = getattr(settings, field.name)
        child[f"REDSCHED_{field.name.upper()}"] = ",".join(value) if isinstance(value, tuple) else str(value)
    return child


def _unverified(url: str) -> bool:
    """Whether the URL asks for a server whose certificate, or whose name in it, is not checked."""
    given = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))
    no_names = given.get("ssl_check_hostname", "true").lower() in ("0", "f", "false", "n", "no")
    return no_names or given.get("ssl_cert_reqs", "required") != "required"


def _check(setting: str, ok: bool, problem: str) -> None:
    if not ok:
        raise InvalidSetting(setting, problem)


def _lookup(environ: Mapping[str, str], name: str) -> str:
    variable = f"REDSCHED_{name.upper()}"
    if path := environ.get(variable + "_FILE"):
        try:
            with open(path, encoding="utf-8") as file:
                found = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSetting(variable + "_FILE", f"cannot be read: {error}") from None
        if not found:
            raise InvalidSetting(variable + "_FILE", "is empty")
        return found
    if name == "redis_url":
        return environ.get(variable) or environ.get("REDIS_URL", "")
    return environ.get(variable, "")


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        # REDSCHED_LEASE=30s and REDSCHED_LEASE_MS=30000 are the same setting
        name = field.name
        text = _lookup(environ, name)
        if not text and name.endswith("_ms"):
            name = name.removesuffix("_ms")
            text = _lookup(environ, name)
        if not text:
            continue
        if field.name.endswith("_ms"):
            try:
                found[field.name] = duration_ms(text)
            except ValueError as error:
                raise InvalidSetting(f"REDSCHED_{name.upper()}", str(error)) from None
        elif isinstance(field.default, tuple):
            found[field.name] = tuple(part.strip() for part in text.split(",") if part.strip())
        else:
            found[field.name] = text
    return found
