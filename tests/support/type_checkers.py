"""What mypy and pyright, both strict, say of the files in a folder: ``<file>:<line>: ...``, one line an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support import servers
from tests.support.pages import ROOT


def mypy(folder: Path) -> list[str]:
    """What mypy has to say."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    ended = subprocess.run(
        [*command, *options, *sorted(path.name for path in folder.glob("*.py"))],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert not ended.stderr, ended.stderr
    return [line for line in ended.stdout.splitlines() if ": error:" in line]


def pyright(folder: Path) -> list[str]:
    """What pyright has to say."""
    node, version = servers.require("node"), servers.tools()["pyright"]
    if version.startswith("-"):
        servers.missing(f"pyright: {version[1:].strip()}")
    settings = {"include": ["."], "extraPaths": [str(ROOT)], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [node, str(servers.PYRIGHT / "index.js"), "--outputjson", "--pythonpath", sys.executable]
    ended = subprocess.run([*command, "-p", str(folder)], cwd=folder, capture_output=True, text=True)
    found = json.loads(ended.stdout)["generalDiagnostics"]
    return [
        f"{one['file']}:{one['range']['start']['line'] + 1}: {one['message']}"
        for one in found
        if one["severity"] == "error"
    ]
