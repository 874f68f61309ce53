"""``redsched worker --processes n``: n workers, each a process with an event loop of its own, kept alive together."""

from __future__ import annotations

import msgspec

from redsched.cli import render, supervisor
from redsched.cli.invocation import USAGE
from redsched.cli.supervisor import Child
from redsched.settings import Settings


def run(app: str, settings: Settings, processes: int, *flags: str) -> int:
    """Run workers with these flags until a stop is asked, one finds that it can never run, or (``--burst``) all have
    ended; an exit code.

    Worker i of n serves its metrics on ``metrics_port`` + i, where one is given.
    """
    workers = [
        Child(
            f"redsched worker: process {number + 1} of {processes}",
            ("worker", app, *flags),
            msgspec.structs.replace(settings, metrics_port=settings.metrics_port and settings.metrics_port + number),
            once="--burst" in flags,
            says=True,
        )
        for number in range(processes)
    ]
    with supervisor.Signals() as signals:
        try:
            for worker in workers:
                worker.start()
            while not signals.wait(min(worker.next_look() for worker in workers)):
                for worker in workers:
                    if worker.look() == USAGE and not worker.has_said("begun"):
                        render.say(f"{worker.name} cannot start; the reason is above", err=True)
                        return USAGE
                if all(worker.finished for worker in workers):
                    break
            return 0
        finally:
            supervisor.stop_all(workers, signals, settings)
