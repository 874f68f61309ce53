"""Each library in an environment of its own under ``build/peers``, made only when asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.peers.catalog import OURS, Peer

STAMP = "installed.txt"
LIMIT = 900.0  # seconds for one library


def installed(peer: Peer) -> bool:
    """Whether exactly these packages are there; redsched is the one that this runs from."""
    stamp = peer.home / STAMP
    return peer.name == OURS or (stamp.is_file() and stamp.read_text(encoding="utf-8").split() == [*peer.packages])


def install(screen: Console, peers: Sequence[Peer]) -> list[str]:
    """Install what is missing; a line for each library that could not be."""
    failed = []
    missing = [peer for peer in peers if not installed(peer)]
    for number, peer in enumerate(missing, 1):
        title = f"{number}/{len(missing)} {peer.name}: {' '.join(peer.packages)}"
        with screen.status(f"installing {title}"):
            reason = _install(peer)
        screen.print(f"{'failed' if reason else 'installed'} {title}", highlight=False)
        if reason:
            failed.append(f"{peer.name}: {reason}")
    return failed


def interpreter(peer: Peer) -> Path:
    """The program that runs its adapter."""
    if peer.node:
        return Path(shutil.which("node") or "node")
    return Path(sys.executable) if peer.name == OURS else peer.home / "bin" / "python"


def _install(peer: Peer) -> str:
    shutil.rmtree(peer.home, ignore_errors=True)
    peer.home.mkdir(parents=True)
    if peer.node:
        if not (shutil.which("node") and shutil.which("npm")):
            return "needs node and npm"
        (peer.home / "package.json").write_text(json.dumps({"name": "peer", "private": True}), encoding="utf-8")
        commands = [["npm", "install", "--no-audit", "--no-fund", "--save-exact", *peer.packages]]
    else:
        python = str(peer.home / "bin" / "python")
        commands = [
            [sys.executable, "-m", "venv", str(peer.home)],
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.packages],
        ]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NODE_PATH")}
    for command in commands:
        try:
            done = subprocess.run(
                command, cwd=peer.home, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{type(error).__name__}: {error}"
        if done.returncode:
            return (done.stderr or done.stdout).strip()[-1_000:]
    (peer.home / STAMP).write_text("\n".join(peer.packages) + "\n", encoding="utf-8")
    return ""
