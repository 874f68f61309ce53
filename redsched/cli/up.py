"""``redsched up``: server, HTTP interface, mover and worker as one process tree, kept alive and stopped together."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from redsched.cli import values as read
from redsched.cli.invocation import USAGE, Command, Failure, Invocation, pass_invocation

if TYPE_CHECKING:
    from redsched.cli.children import Signals
    from redsched.embedded import EmbeddedServer
    from redsched.settings import Settings

BUILTIN = "redsched.builtin:app"
STEADY_S = 30.0  # a child that ran for this long has no failures behind it
LONGEST_PAUSE_S = 30.0
LOOK_S = 1.0  # how often the server is looked at besides when a child ends


@click.command(cls=Command, short_help="Run everything: Redis, HTTP interface, mover, worker.")
@click.argument("app", required=False, metavar="[MODULE:APP]")
@click.option("--host", "api_host", help="Address of the HTTP interface. [default: 127.0.0.1]")
@click.option("--port", "api_port", type=click.IntRange(0, 65535), help="Its port; 0 takes a free one. [default: 8787]")
@click.option("--data-dir", type=click.Path(file_okay=False),
              help="Where the embedded server keeps its data. [default: ~/.local/share/redsched]")
@click.option("-q", "--queues", metavar="A,B", callback=read.names, help="Queues to serve. [default: those of the app]")
@click.option("-c", "--concurrency", type=click.IntRange(min=1), help="Tasks run at a time. [default: 16]")
@pass_invocation
def up(given: Invocation, /, app: str | None, **flags: Any) -> None:
    """Run everything: Redis, HTTP interface, mover and worker. Without an app it runs the types log, sleep and fail.

    Starts a Redis server of its own unless one is given; its data are kept from run to run.
    """
    import msgspec

    from redsched.cli import children, welcome
    from redsched.cli.run import queues_of
    from redsched.embedded import free_port
    from redsched.engine.app import App

    loaded = App.load(app or BUILTIN)
    settings = given.settings(**flags)
    settings = msgspec.structs.replace(settings, queues=queues_of(loaded, settings, flags["queues"]))
    if settings.api_port == 0:
        settings = msgspec.structs.replace(settings, api_port=free_port())
    children.require_port(settings.api_host, settings.api_port)
    with children.Signals() as signals, _redis(given, settings) as server:
        if server is not None:
            settings = msgspec.structs.replace(settings, redis_url=server.url)
        system = System(settings, app or BUILTIN, signals, server)
        try:
            if system.start():
                welcome.show(given, settings, loaded, server)
                system.watch()
        finally:
            system.stop()
    if system.exit_code:
        raise SystemExit(system.exit_code)


@contextmanager
def _redis(given: Invocation, settings: Settings) -> Iterator[EmbeddedServer | None]:
    """The embedded server, or None where the user named one, which must answer."""
    from pathlib import Path

    from redsched.embedded import EmbeddedServer
    from redsched.model.errors import InvalidSetting
    from redsched.settings import default_data_dir

    if given.redis_given():
        with given.client() as client:
            client.ping()
        yield None
        return
    try:
        server = EmbeddedServer.start(Path(settings.data_dir or default_data_dir()))
    except InvalidSetting as error:
        if error.setting != "data_dir":
            raise
        raise Failure(f"{error.problem}.\nGive another with --data-dir.") from None
    with server:
        yield server


class Child:
    """One kind of process, started again when it ended: after 0.5 s, then 1, 2, 4 ... 30 s while it keeps ending."""

    def __init__(self, name: str, arguments: tuple[str, ...], settings: Settings) -> None:
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None
        self._arguments = arguments
        self._settings = settings
        self._failures = 0
        self._started = 0.0
        self._start_at = 0.0

    def start(self) -> subprocess.Popen[bytes]:
        """Start it now."""
        from redsched.cli import children

        self._started = time.monotonic()
        self.process = children.start(self._arguments, self._settings)
        return self.process

    def look(self) -> int | None:
        """Start it again when its pause is over; the exit code, once, when it has just ended."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._start_at:
                self.start()
            return None
        code = self.process.poll()
        if code is None:
            return None
        self._failures = 1 if now - self._started >= STEADY_S else self._failures + 1
        pause = min(0.5 * 2 ** (self._failures - 1), LONGEST_PAUSE_S)
        self._start_at = now + pause
        self.process = None
        click.echo(f"redsched up: the {self.name} {_ended(code)}; starting it again in {pause:g} s", err=True)
        return code

    def next_look(self) -> float:
        """Seconds until it wants to be looked at."""
        return LOOK_S if self.process is not None else max(0.0, self._start_at - time.monotonic())


def _ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


class System:
    """The children and the embedded server of one ``up``."""

    def __init__(self, settings: Settings, app: str, signals: Signals, server: EmbeddedServer | None) -> None:
        self.exit_code = 0
        self._settings = settings
        self._signals = signals
        self._server = server
        self._children = [
            Child("HTTP interface", ("api",), settings),
            Child("worker", ("worker", app), settings),
        ]

    def start(self) -> bool:
        """Start the children; False when the HTTP interface does not come up or a stop was asked."""
        from redsched.cli import children, welcome

        api, *_ = [child.start() for child in self._children]
        if children.wait_until_live(welcome.api_url(self._settings) + "/livez", api, self._signals):
            return True
        if not self._signals.stopped:
            self.exit_code = api.poll() or 1
            click.echo("redsched up: the HTTP interface did not come up; the reason is above", err=True)
        return False

    def watch(self) -> None:
        """Until a stop is asked, or a child finds that it can never run."""
        while not self._signals.wait(min(child.next_look() for child in self._children)):
            self._look_at_server()
            for child in self._children:
                if child.look() == USAGE:
                    click.echo(f"redsched up: the {child.name} cannot start; the reason is above", err=True)
                    self.exit_code = USAGE
                    return

    def stop(self) -> None:
        """The children first, gracefully; the server ends after them."""
        from redsched.cli import children

        living = [child.process for child in self._children if child.process is not None]
        children.stop(living, self._signals, self._settings.shutdown_grace_ms / 1_000 + 5)

    def _look_at_server(self) -> None:
        if self._server is not None and (code := self._server.process.poll()) is not None:
            click.echo(f"redsched up: the Redis server {_ended(code)}; starting it again", err=True)
            self._server.restart()
