"""What a task costs the server in instructions, part by part: a figure that a busy machine does not change.

The server runs under valgrind's callgrind, which counts every instruction outside of the kernel. The calls are those of
``life``; the floor is the same Lua library of plain commands. Two runs of one tree differ by about 1 %, since garbage
is collected at other moments, so a ratio of two trees says more than the CPU time of a machine that others use.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator

from bench import common
from bench.common import Options, Stage, Tick, main
from bench.report import Report
from bench.verbs import LATER, Verbs

TASKS = 1_000
COUNT = re.compile(r"^\s*Th\s*\d+\s+([\d,]+)", re.MULTILINE)
WRAPPER = "#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file=/dev/null -q '{binary}' \"$@\"\n"
UNIT = "instructions/task"


class CountedStage(Stage):
    """A stage whose server runs under callgrind."""

    @contextlib.contextmanager
    def _server(self) -> Iterator[subprocess.Popen[bytes]]:
        binary, name = common.server_binary(self.options.server)
        wrapper = self.folder / "server"
        wrapper.write_text(WRAPPER.format(binary=binary))
        wrapper.chmod(0o755)
        self.report.server = f"{name}, under callgrind"
        # hz 1: the ticks of its own clock count too
        settings = {"bind": "127.0.0.1", "port": self.port, "dir": self.folder, "save": "", "hz": 1}
        flags = [word for setting, value in settings.items() for word in (f"--{setting}", str(value))]
        with subprocess.Popen([str(wrapper), *flags], stdout=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.wait(60)


class CountedVerbs(Verbs):
    """The verbs of a task's life, of which each part is counted in instructions."""

    def _stage_cpu(self, steps: dict[str, Callable[[], int]], count: int, batch: int) -> dict[str, float]:
        found: dict[str, float] = {}
        for part, step in steps.items():
            before, done = self._counted(), 0
            for _ in range(count // batch):
                done += step()
            found[part] = (self._counted() - before) / count
            if done != count:
                raise RuntimeError(f"{part}: {done} of {count} tasks")
        found["in all"] = sum(found.values())
        return found

    def _counted(self) -> int:
        told = subprocess.run(
            ["callgrind_control", "-e", str(self._stage.server.pid)], capture_output=True, text=True, check=True
        ).stdout
        counts = COUNT.findall(told)
        if not counts:
            raise RuntimeError(f"callgrind_control told no count: {told.strip()[-200:]}")
        return sum(int(found.replace(",", "")) for found in counts)


def measure(options: Options, tick: Tick) -> Report:
    """Instructions of the server a task.

    Raises:
        RuntimeError: valgrind is not installed.
    """
    if shutil.which("valgrind") is None:
        raise RuntimeError("instructions are counted by valgrind: apt install valgrind")
    report = Report(name="instructions", title="the server's instructions for a whole life of a task")
    count = options.sized(TASKS)
    with CountedStage(report, options) as stage:
        for run in range(1, options.runs + 1):
            for batch in (100, 10):
                for what, due_ms in ((f"batches of {batch}", LATER), (f"batches of {batch}, due at once", 0)):
                    stage.clear()
                    verbs = CountedVerbs(stage)
                    verbs.life(batch * 5, batch, due_ms)  # warm
                    cost, floor = verbs.life(count, batch, due_ms), verbs.floor(count, batch, due_ms)
                    for part, value in cost.items():
                        report.add(f"{what}: {part}", value, UNIT)
                    report.add(f"{what}: times the floor", cost["in all"] / floor["in all"], "x", better="less")
                    in_one, plain = (life(count, batch, due_ms, in_one=True) for life in (verbs.life, verbs.floor))
                    ratio = in_one["in all"] / plain["in all"]
                    report.add(f"{what}, settled and claimed in one call: times the floor", ratio, "x", better="less")
                    report.add(f"plain commands, {what}: in all", floor["in all"], UNIT, floor=True)
                    tick(f"run {run}, {what}")
    return report


if __name__ == "__main__":
    main(measure, __doc__)
