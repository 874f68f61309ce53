"""The command line in the test's own process."""

from __future__ import annotations

from typing import Protocol

from click.testing import CliRunner

from redsched.cli.main import main
from tests.support.servers import Store


class Cli(Protocol):
    """Runs ``redsched ...``: its exit code, what it printed, and what it printed as an error."""

    def __call__(self, *arguments: str, stdin: str | None = None) -> tuple[int, str, str]: ...


def cli_on(store: Store) -> Cli:
    """The command line on a store."""

    def run(*arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
        assert store.url
        environment = {"REDSCHED_REDIS_URL": store.url, "REDSCHED_NAMESPACE": store.namespace}
        result = CliRunner().invoke(main, list(arguments), input=stdin, env=environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result.exit_code, result.stdout, result.stderr

    return run
