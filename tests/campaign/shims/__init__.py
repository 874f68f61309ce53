"""Small C libraries that are loaded before the server's own: one notes what was synced, one moves the clock."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


class NoCompiler(Exception):
    """This machine has no C compiler."""


def build(name: str, folder: Path) -> Path:
    """Compile ``<name>.c``; answers the library.

    Raises:
        NoCompiler: there is none.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NoCompiler("gcc")
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"{name}.so"
    subprocess.run(
        [compiler, "-O2", "-fPIC", "-shared", "-o", str(library), str(HERE / f"{name}.c"), "-ldl"], check=True
    )
    return library
