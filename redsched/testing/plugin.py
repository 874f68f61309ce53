"""The pytest plugin: the fixture ``redsched``, a ``TestClient`` of your app for each test.

pytest loads this module in every run, so what it needs is imported when a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from redsched.engine.app import App
    from redsched.testing.client import TestClient


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of pytest's ini file."""
    parser.addini("redsched_app", "the app of the fixture redsched, as module:attribute", default="")
    parser.addini("redsched_server", "where its tasks are kept: memory or embedded", default="memory")


@pytest.fixture
def redsched_app(request: pytest.FixtureRequest) -> App:
    """The app of the fixture ``redsched``: the one that the option ``redsched_app`` names. Override it in a conftest.py
    to give another."""
    from redsched.engine.app import App
    from redsched.model.errors import InvalidSetting

    where = str(request.config.getini("redsched_app"))
    if not where:
        pytest.fail(
            "the fixture redsched has no app: write redsched_app = module:attribute into pytest's ini file, or define "
            "a fixture redsched_app that returns your App",
            pytrace=False,
        )
    try:
        return App.load(where)
    except InvalidSetting as error:
        pytest.fail(f"redsched_app: {error}", pytrace=False)


@pytest.fixture
def redsched(request: pytest.FixtureRequest, redsched_app: App) -> Iterator[TestClient]:
    """A ``redsched.testing.TestClient`` of ``redsched_app`` with an empty store."""
    from redsched.model.errors import InvalidSetting
    from redsched.testing.client import TestClient

    try:
        client = TestClient(redsched_app, server=request.config.getini("redsched_server"))
    except InvalidSetting as error:
        pytest.fail(f"redsched_server: {error}", pytrace=False)
    with client:
        yield client
