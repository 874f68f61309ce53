"""``redsched demo``: starts a whole system, tells the story of redsched.demo on it, and gives an account."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from redsched.cli import render
from redsched.cli.invocation import Command, Failure, Invocation, pass_invocation

if TYPE_CHECKING:
    from redsched.cli.supervisor import Signals
    from redsched.demo.ledger import Account
    from redsched.settings import Settings

PATIENCE_S = 15.0  # how long after the last due time a task may still be on its way
MOODS = {"good": "green", "bad": "red", "quiet": "dim", "": ""}
INTERRUPTED = 130
REPLACED = ("queues", "concurrency", "api_host", "api_port", "api_token", "metrics_port", "log_format")


@click.command(
    cls=Command,
    reads=("client", "enqueue", "worker", "api"),
    replaces=REPLACED,
    short_help="See a few hundred tasks run on time, with nothing installed.",
)
@click.option("--seconds", type=click.FloatRange(4, 3600), default=20, show_default=True, help="How long it runs.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the HTTP interface; 0 takes a free one.")
@click.option("--keep/--no-keep", default=None, help="Go on serving afterwards. [default: on a terminal]")
@pass_invocation
def demo(given: Invocation, seconds: float, port: int, keep: bool | None) -> None:
    """Watch a payment gateway's notifications being sent on time, with nothing installed.

    Starts Redis, the HTTP interface and a worker, submits a few hundred tasks over HTTP, and compares every
    acknowledged id with what the handlers noted. Exits with 1 when one is missing.
    """
    from redsched.cli import supervisor
    from redsched.embedded import free_port

    if port:
        supervisor.require_port("127.0.0.1", port)
    with supervisor.Signals() as signals, ExitStack() as stack:
        system = _start(given, stack, signals, port or free_port())
        tell = Narrator(given)
        tell.heading(system, seconds)
        account = Performance(system, signals, tell, seconds).run()
        tell.account(account)
        if keep if keep is not None else sys.stdout.isatty():
            tell.serving(system)
            while not signals.wait(None):
                system.require_alive()
    if account.lost:
        raise SystemExit(1)


class System(NamedTuple):
    """What runs during the demo."""

    settings: Settings
    server: str  # what Redis it is
    folder: Path  # logs and the ledger; deleted at the end
    processes: dict[str, subprocess.Popen[bytes]]

    def require_alive(self) -> None:
        """Fail when a process has ended; show its last lines."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-8:]
                raise Failure("\n".join((f"The {name} ended with exit code {process.returncode}:", *lines)))


def _start(given: Invocation, stack: ExitStack, signals: Signals, port: int) -> System:
    import msgspec

    from redsched.cli import supervisor

    folder = Path(stack.enter_context(_scratch_folder()))
    settings = msgspec.structs.replace(
        given.settings(),
        queues=("otp", "notifications"),
        api_host="127.0.0.1",
        api_port=port,
        api_token="",
        metrics_port=0,
        log_format="json",
        demo_ledger=str(folder / "ledger"),
    )
    settings, server = stack.enter_context(_redis(given, settings, folder))
    system = System(settings, server, folder, {})
    stack.callback(lambda: supervisor.stop(system.processes.values(), signals, 10.0))
    for name, arguments in (("api", ("api",)), ("worker", ("worker", "redsched.demo.app:app", "-c", "32"))):
        with (folder / f"{name}.log").open("wb") as output:
            system.processes[name] = supervisor.start(arguments, settings, output=output)
    if not supervisor.wait_until_live(f"http://127.0.0.1:{port}/livez", system.processes["api"], signals):
        system.require_alive()
        raise (
            SystemExit(INTERRUPTED)
            if signals.stopped
            else Failure(f"The HTTP interface did not answer within {supervisor.START_S:.0f} s.")
        )
    _wait_for_worker(system, signals)
    return system


@contextmanager
def _scratch_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="redsched-demo-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _redis(given: Invocation, settings: Settings, folder: Path) -> Iterator[tuple[Settings, str]]:
    """A server of our own, or a scratch namespace on the user's, removed at the end."""
    import msgspec

    from redsched.demo.resp import Resp
    from redsched.embedded import EmbeddedServer

    if not given.is_given("redis_url"):
        with EmbeddedServer.start(folder / "redis") as server:
            yield msgspec.structs.replace(settings, redis_url=server.url, namespace="demo"), server.description
        return
    with given.client() as client:
        server_info = client.ping()
    namespace = f"demo-{secrets.token_hex(4)}"
    try:
        yield (
            msgspec.structs.replace(settings, namespace=namespace),
            f"{server_info.server} {server_info.version}, yours; keys under {{{namespace}}}, removed at the end",
        )
    finally:
        with Resp(settings.redis_url) as redis:
            redis.remove(f"{{{namespace}}}:*")


def _wait_for_worker(system: System, signals: Signals) -> None:
    from redsched.cli import supervisor

    deadline = time.monotonic() + supervisor.START_S
    log = system.folder / "worker.log"
    while b'"worker.started"' not in log.read_bytes():
        system.require_alive()
        if signals.stopped:
            raise SystemExit(INTERRUPTED)
        if time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-2_000:]
            raise Failure(f"The worker did not start within {supervisor.START_S:.0f} s:\n{said}")
        signals.wait(0.03)


class Performance:
    """One telling of the story, from the first task to the account."""

    def __init__(self, system: System, signals: Signals, tell: Narrator, seconds: float) -> None:
        from redsched.demo.ledger import Ledger
        from redsched.demo.story import Story

        self._system = system
        self._signals = signals
        self._ledger = Ledger(system.folder / "ledger")
        self._story = Story(system.settings, self._ledger, tell.step, seconds)

    def run(self) -> Account:
        """Tell it; SystemExit when a stop is asked."""
        from redsched.demo.http import HttpError
        from redsched.demo.ledger import account

        story = self._story
        try:
            story.begin()
            while story.step():
                self._pause(0.02)
            states: dict[str, str] = {}
            left, deadline = story.acknowledged, time.monotonic() + PATIENCE_S
            while (left := story.look(left, states)) and time.monotonic() < deadline:
                self._pause(0.1)
                story.step()
            story.step()
        except (HttpError, HTTPException, OSError, RuntimeError) as error:
            self._system.require_alive()  # where a process has ended, its last lines say more
            raise Failure(f"The demo could not go on: {error}") from None
        finally:
            story.end()
        return account(story.acknowledged, states, self._ledger, story.meant)

    def _pause(self, seconds: float) -> None:
        self._system.require_alive()
        if self._signals.wait(seconds) or self._signals.stopped:
            raise SystemExit(INTERRUPTED)


class Narrator:
    """Prints the demo: one aligned line a step, colours on a terminal."""

    def __init__(self, given: Invocation) -> None:
        self._given = given
        self._console = render.console(given, stderr=given.json)  # with -o json only the account goes to stdout
        self._began = time.monotonic()

    def heading(self, system: System, seconds: float) -> None:
        """What runs where."""
        from redsched.redis_url import masked_url

        settings = system.settings
        self._print(f"redsched demo: a payment gateway's notifications, for about {seconds:g} s\n", "bold")
        self._print(f"  redis   {masked_url(settings.redis_url)}   ({system.server}; namespace {settings.namespace})")
        self._print(f"  http    http://{settings.api_host}:{settings.api_port}")
        self._print(f"  worker  process {system.processes['worker'].pid}, with a mover inside\n")
        self._began = time.monotonic()

    def step(self, verb: str, what: str, text: str, mood: str = "") -> None:
        """One step, as it happens."""
        when = f"{time.monotonic() - self._began:5.1f}s" if verb else " " * 6
        self._print(f"{when}  {verb:<7} {what:<15} {text}", MOODS[mood])

    def account(self, account: Account) -> None:
        """The account; its line is the last one."""
        for id, why in account.lost.items():
            self._print(f"lost: {id}: {why}", "bold red")
        if self._given.json:
            render.document(account.document())
        else:
            self._print("")
            self._print(account.line(), "bold red" if account.lost else "bold green")

    def serving(self, system: System) -> None:
        """How to go on."""
        settings = system.settings
        url = f"http://{settings.api_host}:{settings.api_port}"
        self._print(f"\nStill serving: {url}/v1/queues   {url}/metrics   {settings.redis_url}")
        self._print("Stop with Ctrl-C; everything is then removed. Keep a system of your own with: redsched up")

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, soft_wrap=True)
