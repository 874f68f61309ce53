"""The pytest plugin of redsched as the tests of an application meet it: by its entry point, in another pytest; and the
tests that its guide shows.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = """
from redsched import App

app = App("shop")

@app.task("echo")
async def echo(n: int) -> int:
    return n
"""
TEST = """
def test_the_fixture_is_a_client_of_the_app(redsched):
    redsched.enqueue("echo", {"n": 5}, id="a", delay="1h")
    assert [run.result for run in redsched.advance(hours=1)] == [5]
    assert redsched.settings.namespace.startswith(NAMESPACE)

def test_each_test_begins_with_an_empty_store(redsched):
    assert redsched.queues() == []
"""
OWN_APP = """
import pytest
from redsched import App

@pytest.fixture
def redsched_app():
    app = App("own")

    @app.task("echo")
    def echo(n: int) -> int:
        return n

    return app
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder for an application, in an environment in which redsched is installed with the entry points that
    pyproject.toml declares."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    info = tmp_path / "site" / "redsched_here-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: redsched-here\nVersion: 1\n")
    lines = "".join(f"{name} = {value}\n" for name, value in declared.items())
    (info / "entry_points.txt").write_text(f"[pytest11]\n{lines}")
    found = tmp_path / "shop"
    found.mkdir()
    return found


def run_tests(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest over the project, without what pytest finds elsewhere."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "REDSCHED"))}
    environ["PYTHONPATH"] = os.pathsep.join((str(project.parent / "site"), str(ROOT)))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", "--rootdir", ".", *arguments]
    return subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, timeout=120)


def summary(ended: subprocess.CompletedProcess[str]) -> str:
    """The last line without its time; all that was printed where it is another one."""
    last = ended.stdout.strip().splitlines()[-1].strip("= ")
    return re.sub(r" in [\d.]+s.*$", "", last) + ended.stderr


@pytest.mark.parametrize(("server", "namespace"), [("", "rs"), ("redsched_server = embedded", "test-")])
def test_the_fixture_has_the_app_and_the_server_of_the_ini_file(project: Path, server: str, namespace: str) -> None:
    (project / "shop.py").write_text(APP)
    (project / "test_shop.py").write_text(TEST.replace("NAMESPACE", repr(namespace)))
    (project / "pytest.ini").write_text(f"[pytest]\nredsched_app = shop:app\n{server}\n")

    ended = run_tests(project)

    assert summary(ended) == "2 passed", ended.stdout


def test_a_fixture_of_the_project_gives_another_app(project: Path) -> None:
    (project / "conftest.py").write_text(OWN_APP)
    (project / "test_shop.py").write_text(TEST.replace("NAMESPACE", "'rs'"))

    assert summary(run_tests(project)) == "2 passed"


@pytest.mark.parametrize(
    ("ini", "problem"),
    [
        ("", "the fixture redsched has no app: write redsched_app = module:attribute into pytest's ini file"),
        ("redsched_app = nowhere:app", "redsched_app: app: there is no module 'nowhere' here; write module:attribute"),
        ("redsched_app = shop\nredsched_server = redis", "redsched_server: server: 'redis' is not memory or embedded"),
    ],
)
def test_an_ini_file_that_cannot_be_used_is_told_in_a_sentence(project: Path, ini: str, problem: str) -> None:
    (project / "shop.py").write_text(APP)
    (project / "test_shop.py").write_text("def test_it(redsched): ...\n")
    (project / "pytest.ini").write_text(f"[pytest]\n{ini}\n")

    ended = run_tests(project)

    assert summary(ended) == "1 error"
    assert problem in ended.stdout
    assert "Traceback" not in ended.stdout


def test_tests_that_do_not_ask_for_the_fixture_do_not_pay_for_it(project: Path) -> None:
    (project / "test_shop.py").write_text(
        "import sys\ndef test_it():\n    assert 'redsched.testing.plugin' in sys.modules\n"
        "    assert not {'redis', 'msgspec', 'fakeredis', 'redsched.engine'} & set(sys.modules)\n"
    )

    assert summary(run_tests(project, "-p", "no:fakeredis", "-p", "no:hypothesispytest")) == "1 passed"


def test_the_tests_that_the_guide_shows_pass_and_their_client_is_no_test(project: Path) -> None:
    text = (ROOT / "docs/guides/testing.md").read_text(encoding="utf-8")
    shown = text.partition("```python\n")[2].partition("```\n")[0]
    name = shown.splitlines()[0].removeprefix("# ")
    (project / name).write_text(shown)

    ended = run_tests(project, "-W", "error", name)

    assert summary(ended) == "2 passed", ended.stdout


def test_memory_without_its_packages_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['lupa'] = None\n"
        "from redsched import App, InvalidSetting\nfrom redsched.testing import TestClient\n"
        "try: TestClient(App())\nexcept InvalidSetting as error: print(error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert ended.stdout == (
        "server: memory needs the package lupa: pip install 'redsched[testing]', or choose server='embedded'; "
        "nothing was started\n"
    ), ended.stderr
