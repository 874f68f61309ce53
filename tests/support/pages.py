"""The pages that people read, with their blocks of code, and a reader who works through a page.

A block of ``python`` or ``sh`` is run as it stands, one after the other. A comment before one says what else is meant:

- ``<!-- not run: reason -->``: it cannot be run by a test;
- ``<!-- runs until: text -->``: it goes on in the background; what follows begins when it has printed the text;
- ``<!-- ends with: 4 -->``: its exit code;
- ``<!-- output -->``: it is what the block before has printed; ``...`` stands for anything.

A block whose first line is a comment with the name of a file is that file. A test in it is run.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import queue
import re
import runpy
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from redsched.embedded import free_port
from tests.support.processes import PATIENCE_S, environment

ROOT = Path(__file__).parents[2]
RUNNABLE = ("python", "sh")
INERT = ("text", "json", "toml", "ini", "yaml", "nginx", "javascript", "promql")
_BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (not run|runs until|ends with|output)(?:: (.*?))? -->\s*\Z")
_FILE = re.compile(r"(?:#|//) ([\w./-]+\.\w+)\n")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    text: str
    line: int
    mark: str = ""
    told: str = ""  # what the mark says

    @property
    def file(self) -> str:
        """The name of the file that it is; empty where it is none."""
        found = _FILE.match(self.text)
        return found[1] if found else ""


def pages() -> list[Path]:
    """Every page with code for people to run."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        mark = _MARK.search(text[: match.start()])
        said = (mark[1], mark[2] or "") if mark else ("", "")
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(match[2], textwrap.dedent(match[3]), line, *said))
    return found


@dataclass
class Reader:
    """Somebody who works through a page, in a folder of their own, with a Redis at hand."""

    folder: Path
    redis_port: int
    variables: dict[str, str] = field(default_factory=dict)
    output: str = ""
    running: list[Background] = field(default_factory=list)
    _ports: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> Reader:
        self._ports = {"6379": self.redis_port, "8787": free_port(), "8000": free_port()}
        self.variables = {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "HOME": str(self.folder),
            "REDSCHED_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "REDSCHED_DATA_DIR": str(self.folder / "data"),
            "REDSCHED_API_PORT": str(self._ports["8787"]),
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }
        return self

    def __exit__(self, *_: object) -> None:
        for one in reversed(self.running):
            one.stop()
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(self.folder)):
                del sys.modules[name]

    def read(self, block: Block) -> None:
        """Do what a block says."""
        if block.mark == "not run":
            return
        if block.mark == "output":
            self._compare(block)
        elif block.file:
            self._write(block)
        elif block.mark == "runs until":
            self._begin(block)
        elif block.language == "python":
            path = self.folder / f"block_{block.line}.py"
            path.write_text(self._here(block.text), encoding="utf-8")
            self.output = self._run_python(path)
        elif block.language == "sh":
            self.output = self._run_shell(self._here(block.text), int(block.told or 0))

    def _here(self, text: str) -> str:
        """The text with the ports that servers have in this test."""
        return re.sub(r"\b(6379|8787|8000)\b", lambda match: str(self._ports[match[0]]), text)

    def _write(self, block: Block) -> None:
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._here(block.text), encoding="utf-8")
        if path.name.startswith("test_"):
            self.output = self._run_shell(f"python -m pytest -q -W error -p no:cacheprovider {block.file}", 0)
        elif path.suffix == ".py":
            with self._inside():
                importlib.invalidate_caches()
                importlib.import_module(block.file.removesuffix(".py").replace("/", "."))

    def _run_python(self, path: Path) -> str:
        printed = io.StringIO()
        with self._inside(), contextlib.redirect_stdout(printed):
            runpy.run_path(str(path), run_name="__main__")
        return printed.getvalue()

    @contextlib.contextmanager
    def _inside(self) -> Iterator[None]:
        """In the folder and with the variables of the reader; what is imported from there stays as long as the page."""
        before, here = dict(os.environ), Path.cwd()
        os.environ.update(self.variables)
        os.chdir(self.folder)
        sys.path.insert(0, str(self.folder))
        try:
            yield
        finally:
            sys.path.remove(str(self.folder))
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)

    def _run_shell(self, text: str, code: int) -> str:
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env=environment(**self.variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
        )
        assert ended.returncode == code, f"exit code {ended.returncode} of:\n{text}\n{ended.stdout}"
        return ended.stdout

    def _begin(self, block: Block) -> None:
        variables = environment(**self.variables)
        if block.text.startswith("redsched up"):
            del variables["REDSCHED_REDIS_URL"]  # it starts a server of its own
        begun = Background(self._here(block.text), self.folder, variables)
        self.running.append(begun)
        begun.wait_for(block.told)
        for name, value in re.findall(r"export (\w+)=(\S+)", begun.said()):  # as the reader is told to paste it
            self.variables[name] = value
            if name == "REDSCHED_REDIS_URL":
                self._ports["6379"] = int(value.rpartition(":")[2].partition("/")[0])

    def _compare(self, block: Block) -> None:
        for line in block.text.splitlines():
            wanted = re.escape(line.rstrip()).replace(r"\.\.\.", ".*")
            found = re.search(rf"^\s*{wanted.lstrip()}\s*$", self.output, re.MULTILINE)
            assert found, f"no line {line!r} in:\n{self.output}"


class Background:
    """A command that goes on while the reader does."""

    def __init__(self, command: str, folder: Path, variables: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self._lines: list[str] = []
        self._coming: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            self._coming.put(line)
        self._coming.put(None)

    def wait_for(self, text: str) -> None:
        """Until it has printed this."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            line = self._coming.get(timeout=max(0.1, deadline - time.monotonic()))
            assert line is not None, f"ended before it printed {text!r}:\n{self.said()}"
            if text in line:
                return

    def said(self) -> str:
        """All that it has printed so far."""
        return "".join(self._lines)

    def stop(self) -> None:
        """End it as Ctrl-C does; by force where that does not help."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
