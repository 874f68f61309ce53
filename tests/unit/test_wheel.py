"""What users install: the wheel, in a clean environment, away from the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from redsched.embedded import EmbeddedServer
from tests.support.servers import connect

ROOT = Path(__file__).parents[2]
ENQUEUE = """
import sys
import redsched
from redsched import Client
assert "site-packages" in redsched.__file__, redsched.__file__
with Client(sys.argv[1], namespace=sys.argv[2]) as client:
    print(client.enqueue("otp.send", {"phone": "+1"}, id="from-the-wheel", delay="1h").status)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(ROOT)])
    return next(directory.glob("*.whl"))


def run(arguments: list[str], **options: object) -> str:
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(arguments, capture_output=True, text=True, env=environ, check=False, **options)  # type: ignore[call-overload]
    assert ended.returncode == 0, f"{arguments}\n{ended.stdout}\n{ended.stderr}"
    return str(ended.stdout)


def test_the_wheel_holds_the_package_its_lua_tree_and_its_licence_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {name.removeprefix("redsched/lua/") for name in names if name.startswith("redsched/lua/")}
    assert shipped == {str(file.relative_to(ROOT / "lua")) for file in (ROOT / "lua").rglob("*") if file.is_file()}
    modules = {name for name in names if name.endswith(".py")}
    assert modules == {str(file.relative_to(ROOT)) for file in (ROOT / "redsched").rglob("*.py")}
    assert "redsched/py.typed" in names
    assert {name.split("/")[0] for name in names} == {"redsched", "redsched-0.1.0.dist-info"}
    assert "redsched-0.1.0.dist-info/licenses/LICENSE" in names


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_wheel_in_a_clean_environment_enqueues_a_task(
    wheel: Path, valkey_server: EmbeddedServer, tmp_path: Path
) -> None:
    run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")])
    python = str(tmp_path / "venv" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check"]
    run([*pip, "install", "--no-compile", str(wheel)])
    namespace = "wheel"

    printed = run([python, "-c", ENQUEUE, valkey_server.url, namespace], cwd=tmp_path)

    assert printed.strip() == "created"
    with connect(valkey_server.url) as connection:
        task = connection.hgetall(f"{{{namespace}}}:task:default:from-the-wheel")
        assert task["type"] == "otp.send"
        assert task["payload"] == '{"phone":"+1"}'
        assert connection.zcard(f"{{{namespace}}}:due:default") == 1
    assert run([str(tmp_path / "venv" / "bin" / "redsched"), "version"], cwd=tmp_path).strip()
