"""What one invocation of the command line carries: the global options, and the settings and client made of them.

Global options may stand before or after the command.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from redsched.cli import setting_help

if TYPE_CHECKING:
    from redsched.client import Client
    from redsched.settings import Configuration, Settings

OK, FAILURE, USAGE, NOT_FOUND, CONFLICT, UNREACHABLE = range(6)
ONE_CALL_RETRIES_MS = 1_000  # a person waits: a one-shot command gives up on an absent Redis sooner than a process


class Failure(Exception):
    """Ends the command: one or two lines on stderr, then this exit code."""

    def __init__(self, message: str, exit_code: int = FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Invocation:
    """The global options as given; ``None`` leaves a setting to the environment and the file of settings."""

    def __init__(self) -> None:
        self.redis_url: str | None = None
        self.namespace: str | None = None
        self.config: str | None = None
        self.output = "table"
        self.no_color = False
        self.verbose = False
        self._warned = False

    @property
    def json(self) -> bool:
        """Whether one JSON document is wanted instead of text for people."""
        return self.output == "json"

    def configuration(self, **flags: Any) -> Configuration:
        """What was given for each setting, and where; a flag that is None does not count."""
        from redsched.settings import Configuration

        if self.verbose:
            flags.setdefault("log_level", "debug")
        given = {"redis_url": self.redis_url, "namespace": self.namespace, **flags}
        return Configuration(None, self.config, given)

    def settings(self, **flags: Any) -> Settings:
        """The settings of this invocation. Says once, on stderr, which variables are probably misspelt."""
        configuration = self.configuration(**flags)
        if not self._warned:
            self.warn(configuration)
        return configuration.settings()

    def warn(self, configuration: Configuration) -> None:
        """Say on stderr which variables are probably misspelt."""
        self._warned = True
        for warning in configuration.warnings:
            click.echo(f"Warning: {warning}", err=True)

    def is_given(self, name: str) -> bool:
        """Whether a global option, the environment or the file of settings gives this setting."""
        return self.configuration().is_given(name)

    @contextmanager
    def client(self, *, strict: bool = False) -> Iterator[Client]:
        """A client for one command, closed at its end."""
        import msgspec

        settings = self.settings()
        from redsched.client import Client

        patience = min(settings.retry_for_ms, ONE_CALL_RETRIES_MS)
        settings = msgspec.structs.replace(settings, retry_for_ms=patience)
        with Client(settings=settings, name="cli", strict=strict) as client:
            yield client


_WORDS = "redsched.words"


def keep_words(context: click.Context, words: list[str]) -> None:
    """Keep what was typed after ``redsched``."""
    context.meta[_WORDS] = list(words)


def words_of(context: click.Context) -> list[str]:
    """What was typed after ``redsched``, without the passwords of URLs."""
    from redsched.redis_url import masked_url

    return [masked_url(word) if "redis" in word and "://" in word else word for word in context.meta[_WORDS]]


def _remember(context: click.Context, option: click.Parameter, value: Any) -> None:
    given = context.ensure_object(Invocation)  # made at the root, whose options are looked at first
    if value and option.name:
        setattr(given, option.name, value)


def global_options(*, hidden: bool) -> list[click.Parameter]:
    """Fresh options for one command; they change the shared ``Invocation`` instead of the command's arguments."""
    return [
        click.Option(
            ["-r", "--redis", "redis_url"],
            metavar="URL",
            expose_value=False,
            callback=_remember,
            hidden=hidden,
            help="Redis to use: redis://, rediss:// or unix://.",
        ),
        click.Option(
            ["--namespace"],
            metavar="NAME",
            expose_value=False,
            callback=_remember,
            hidden=hidden,
            help="Prefix (hash tag) of every key.",
        ),
        click.Option(
            ["--config"],
            metavar="FILE",
            expose_value=False,
            callback=_remember,
            hidden=hidden,
            help="File of settings. [env: REDSCHED_CONFIG; default: redsched.toml, where it is there]",
        ),
        click.Option(
            ["-o", "--output"],
            type=click.Choice(["table", "json"]),
            expose_value=False,
            callback=_remember,
            hidden=hidden,
            help="Tables for people, or one JSON document.",
        ),
        click.Option(
            ["--no-color"],
            is_flag=True,
            expose_value=False,
            callback=_remember,
            hidden=hidden,
            help="Never colour the output. [env: NO_COLOR]",
        ),
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            callback=_remember,
            hidden=hidden,
            help="Log in detail.",
        ),
    ]


class Command(click.Command):
    """A command that takes the global options as well, without listing them in its help.

    It ``reads`` the settings that the table has for these words, but for those that it ``replaces`` itself. Its help
    lists them.
    """

    def __init__(
        self, *args: Any, reads: tuple[str, ...] = ("client",), replaces: tuple[str, ...] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_options(hidden=True))
        self.reads = reads
        self.replaces = replaces

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, then the settings that have none."""
        rows = setting_help.rows_read(self.reads, self.replaces)
        setting_help.write_options(self, ctx, formatter, rows)
        setting_help.write_settings(self, ctx, formatter, rows)


class Group(click.Group):
    """A group whose commands take the global options."""

    command_class = Command


CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
pass_invocation = click.make_pass_decorator(Invocation, ensure=True)
