"""Every setting of a process, gathered once and then passed on.

A command-line flag wins over the environment (``REDSCHED_*``), which wins over ``redsched.toml``, which wins over the
default. Secrets may come from a file: ``REDSCHED_API_TOKEN_FILE`` names one that holds the token.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec

from redsched.configuration.environment import from_environment, unknown_variables
from redsched.configuration.file import SettingsFile
from redsched.configuration.given import Given, from_value
from redsched.configuration.table import CONFIG, PREFIX, About, hidden, rows_of
from redsched.model.errors import InvalidSetting
from redsched.model.vocabulary import DEFAULT_QUEUE, MAX_PAYLOAD_BYTES
from redsched.redis_url import masked_url, problem_of

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"
_TOKEN = re.compile(r"[^\s\x00-\x1f\x7f]{6,}")
_HOST = re.compile(r"\*|(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one process. Immutable; build another with ``msgspec.structs.replace``."""

    redis_url: Annotated[
        str,
        About("Redis to use: redis://, rediss:// or unix://", "client", mask=masked_url, also="REDIS_URL"),
    ] = DEFAULT_REDIS_URL
    redis_ca: Annotated[
        str,
        About(
            "file of the authorities that may have signed the certificate of a rediss:// server",
            "client",
            without="those of the system",
        ),
    ] = ""
    redis_cert: Annotated[str, About("file of the client certificate shown to a rediss:// server", "client")] = ""
    redis_key: Annotated[str, About("file of the private key of that certificate", "client")] = ""
    redis_insecure: Annotated[
        bool, About("allows ssl_cert_reqs=none in the URL: anybody may pose as the server", "client")
    ] = False
    namespace: Annotated[str, About("prefix (hash tag) of every key", "client acl")] = "rs"
    queues: Annotated[
        tuple[str, ...],
        About(
            "queues that a worker serves, in order; a mover looks at them first",
            "worker mover",
            without="those of the app, else default",
        ),
    ] = (DEFAULT_QUEUE,)
    concurrency: Annotated[int, About("tasks that one worker runs at a time", "worker", "tasks", 1, 10_000)] = 16
    prefetch: Annotated[
        int,
        About(
            "most tasks that a worker holds beside those that run; it takes fewer while they are slow",
            "worker",
            "tasks",
            0,
            1_000,
        ),
    ] = 500
    lease_ms: Annotated[
        int, About("how long a claim lasts without renewal", "worker mover", low=1_000, high=3_600_000)
    ] = 30_000
    shutdown_grace_ms: Annotated[
        int,
        About("how long what runs may go on after SIGTERM", "worker mover api", low=0, high=86_400_000),
    ] = 25_000
    forgotten_ids: Annotated[
        int,
        About(
            "most ids of removed tasks that are known for a day, so that find tells them from ids that never were; "
            "0: none. Ids that redsched makes do not count",
            "worker mover",
            "ids",
            0,
            100_000_000,
        ),
    ] = 1_000_000
    max_payload_bytes: Annotated[
        int, About("most bytes of the payload of one task", "enqueue schedule", "bytes", 1, 16_777_216)
    ] = MAX_PAYLOAD_BYTES
    redis_timeout_ms: Annotated[
        int, About("how long one answer of Redis may take", "client", low=100, high=600_000)
    ] = 5_000
    durability: Annotated[
        str, About("durability of an enqueue that names none: memory, fsync or replicas:n", "enqueue")
    ] = "memory"
    durability_wait_ms: Annotated[
        int, About("how long replicas may take to acknowledge", "enqueue", low=1, high=600_000)
    ] = 1_000
    retry_for_ms: Annotated[
        int, About("how long a call is repeated while Redis is away", "client", low=0, high=600_000)
    ] = 10_000
    api_host: Annotated[str, About("address of the HTTP interface; one beyond loopback needs a token", "api")] = (
        "127.0.0.1"
    )
    api_port: Annotated[int, About("port of the HTTP interface; 0 takes a free one", "api", "", 0, 65_535)] = 8787
    api_token: Annotated[
        str,
        About(
            "bearer token of the HTTP interface, 6 characters at least; without one only loopback may be bound",
            "api",
            mask=hidden,
        ),
    ] = ""
    api_allowed_hosts: Annotated[
        tuple[str, ...],
        About("names, or name:port, that the header Host may have beside loopback; * is any", "api"),
    ] = ()
    api_max_connections: Annotated[
        int,
        About(
            "most connections at once; fewer where that leaves the process less than 128 files",
            "api",
            "connections",
            1,
            1_000_000,
        ),
    ] = 1_000
    api_max_connections_a_peer: Annotated[
        int,
        About(
            "most connections of one address; give more where all come through a proxy",
            "api",
            "connections",
            1,
            1_000_000,
        ),
    ] = 250
    api_head_timeout_ms: Annotated[
        int, About("how long target and headers of a request may take", "api", low=100, high=600_000)
    ] = 10_000
    idempotency_ttl_ms: Annotated[
        int,
        About("how long an answer is kept for repeats with its Idempotency-Key", "api", low=1_000, high=2_592_000_000),
    ] = 86_400_000
    max_body_bytes: Annotated[
        int, About("most bytes of the body of one HTTP request", "api", "bytes", 1_024, 1_073_741_824)
    ] = 33_554_432
    metrics_host: Annotated[str, About("address of the metrics of a worker or mover", "worker mover")] = "127.0.0.1"
    metrics_port: Annotated[
        int, About("port of the metrics of a worker or mover; 0 serves none", "worker mover", "", 0, 65_535)
    ] = 0
    metrics_token: Annotated[
        str,
        About(
            "bearer token of /metrics; without one those of a worker may be on loopback only",
            "worker mover api",
            mask=hidden,
        ),
    ] = ""
    log_level: Annotated[
        str,
        About("how much is logged", "worker mover api", choices=("debug", "info", "warning", "error")),
    ] = "info"
    log_format: Annotated[
        str,
        About("how it is logged; auto is text on a terminal", "worker mover api", choices=("auto", "text", "json")),
    ] = "auto"
    data_dir: Annotated[
        str,
        About(
            "directory of the embedded server, and of answers that a worker keeps while Redis is away",
            "worker up",
            without="$XDG_DATA_HOME/redsched, else ~/.local/share/redsched",
        ),
    ] = ""
    demo_ledger: Annotated[str, About("file in which the handlers of the demo note every run", "demo")] = ""

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
        for row in TABLE.values():
            problem = row.problem_of(getattr(self, row.name))
            _check(row.name, not problem, problem)
        _check(
            "durability",
            re.fullmatch(r"memory|fsync|replicas:[1-9][0-9]?", self.durability) is not None,
            f"{self.durability!r} is not memory, fsync or replicas:n (n of 1..99)",
        )

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, *, config: str | None = None, **flags: Any) -> Settings:
        """Flags that are not None, over the environment, over the file of settings, over the defaults.

        The file is ``config``, else the one that ``REDSCHED_CONFIG`` names, else ``redsched.toml`` in the working
        directory where it is there.

        Raises:
            InvalidSetting: names the flag, the variable or the line of the file, and what is wrong with it.
        """
        return Configuration(environ, config, flags).settings()


TABLE = rows_of(Settings)


class Configuration:
    """What was given for each setting, and where. ``problems`` is what stands in the way of using it."""

    def __init__(self, environ: Mapping[str, str] | None, config: str | None, flags: Mapping[str, Any]) -> None:
        found = os.environ if environ is None else environ
        self.given: dict[str, Given] = {}
        self.problems: list[InvalidSetting] = []
        self.warnings = unknown_variables(TABLE.values(), found)
        self.file = ""
        flagged = {name: value for name, value in flags.items() if value is not None}
        self.problems += [InvalidSetting(name, "there is no such setting") for name in flagged if name not in TABLE]
        try:
            file = SettingsFile.find(config or found.get(CONFIG, ""))
        except InvalidSetting as error:
            self.problems.append(error)
            return
        self.file = file.path
        self.problems += file.unknown(TABLE)
        for name, row in TABLE.items():
            try:
                given = file.given(row)  # read even where something else wins: a mistake in it is told at once
                if name in flagged:
                    given = Given(from_value(row, flagged[name], name), name, "flag")
                else:
                    given = from_environment(row, found) or given
            except InvalidSetting as error:
                self.problems.append(error)
                continue
            if given is not None:
                self.given[name] = given

    def settings(self) -> Settings:
        """The settings themselves.

        Raises:
            InvalidSetting: the first of the problems; or settings that do not go together.
        """
        if self.problems:
            raise self.problems[0]
        try:
            return Settings(**{name: given.value for name, given in self.given.items()})
        except InvalidSetting as error:
            given = self.given.get(error.setting)
            raise InvalidSetting(given.place if given else error.setting, error.problem) from None

    def all_problems(self) -> list[str]:
        """Everything that is wrong: each value that cannot be used, or else what does not go together."""
        problems = self.problems
        try:
            self.settings()
        except InvalidSetting as error:
            problems = problems or [error]
        return [f"{problem.setting}: {problem.problem}" for problem in problems]

    def is_given(self, name: str) -> bool:
        """Whether a flag, the environment or the file gives this setting."""
        return name in self.given

    def source(self, name: str) -> str:
        """Where the value of a setting comes from, for people."""
        return self.given[name].source if name in self.given else "default"


def default_data_dir(environ: Mapping[str, str] | None = None) -> str:
    """Where the embedded server keeps its data unless ``data_dir`` says otherwise."""
    found = os.environ if environ is None else environ
    return os.path.join(found.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"), "redsched")


def child_environment(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which a child process loads exactly these settings; secrets stay off its command line."""
    found = os.environ if environ is None else environ
    child = {name: value for name, value in found.items() if not name.startswith(PREFIX)}
    for name, row in TABLE.items():
        child[row.variables[0]] = row.text(getattr(settings, name))
    child[CONFIG] = os.devnull  # a file without settings: redsched.toml would give what is empty here
    return child


def _unverified(url: str) -> bool:
    """Whether the URL asks for a server whose certificate, or whose name in it, is not checked."""
    given = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))
    no_names = given.get("ssl_check_hostname", "true").lower() in ("0", "f", "false", "n", "no")
    return no_names or given.get("ssl_cert_reqs", "required") != "required"


def _check(setting: str, ok: bool, problem: str) -> None:
    if not ok:
        raise InvalidSetting(setting, problem)
