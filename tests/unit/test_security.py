"""What must never be in the source, in a log line or in an error: code from data, payloads, secrets."""

from __future__ import annotations

import ast
import dataclasses
import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

import redsched
from redsched import InvalidSetting, InvalidTask, Settings
from redsched.observe.security import security_checks
from redsched.wire import json_checks
from redsched.wire.codec import answer_bytes, json_bytes
from tests.support.servers import Store

PACKAGE = Path(redsched.__file__).parent
FILES = sorted([*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "bench").rglob("*.py")])
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle", "yaml", "code", "codeop"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
# the operator's own module:app, imported because the command line says so; the module of a handler that a worker has
# registered, in the process that it starts; and the tables of the public names
IMPORTERS = {"engine/app.py", "engine/process_child.py", "__init__.py", "testing/__init__.py"}


def nodes(file: Path) -> Iterator[ast.AST]:
    """Every node of a file."""
    return ast.walk(ast.parse(file.read_text()))


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or attribute; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def offences(file: Path) -> Iterator[str]:
    """What a file does that could run what somebody else wrote."""
    name = file.relative_to(PACKAGE).as_posix() if file.is_relative_to(PACKAGE) else file.name
    for node in nodes(file):
        where = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"{where} imports {module}" for module in named if module.split(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            called = dotted(node.func)
            if called in BUILTINS:
                yield f"{where} calls {called}"
            if called in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"):
                yield f"{where} calls {called}"
            if called in ("importlib.import_module", "import_module", "pkgutil.resolve_name") and name not in IMPORTERS:
                yield f"{where} imports what a text names"
            for keyword in node.keywords:
                if keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value):
                    yield f"{where} uses a shell"


def test_nothing_runs_what_was_read() -> None:
    assert [found for file in FILES for found in offences(file)] == []


def test_the_check_itself_finds_each_of_them(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    for text in (
        "import pickle",
        "from yaml import load",
        "eval('1')",
        "exec('1')",
        "import os\nos.system('x')",
        "import subprocess\nsubprocess.run('x', shell=True)",
        "import importlib\nimportlib.import_module(x)",
        "__import__('os')",
    ):
        bad.write_text(text)
        assert len(list(offences(bad))) == 1, text


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"x":{"a":1,"b":2,"a":3}}',
        '[{"a":1,"a":1}]',
        '{"a":1,"\\u0061":2}',
        "[NaN]",
        "[-Infinity]",
        "[" * 65 + "]" * 65,
        '{"a":' * 65 + "1" + "}" * 65,
        "[" * 200_000 + "]" * 200_000,
    ],
)
def test_json_that_can_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"twice|no number|nested"):
        json_checks.check_text(text.encode())


@pytest.mark.parametrize(
    "text",
    ['{"a":{"a":{"a":1}}}', '"[[["', "[" * 64 + "]" * 64, '{"t":"' + "[{" * 100 + '"}', '["\\"[[["]', "[1e308]"],
)
def test_json_that_is_merely_unusual_passes(text: str) -> None:
    json_checks.check_text(text.encode())


@dataclasses.dataclass
class Data:
    rate: float | None
    more: Any = None


class Struct(msgspec.Struct):
    rate: float | None


class Model(pydantic.BaseModel):
    rate: float | None


WITHOUT_A_NUMBER = [
    math.nan, {"a": [1, math.inf]}, [None, {"b": -math.inf}], (1.0, math.nan), {math.nan}, frozenset((math.inf,)),
    Data(math.nan), [Struct(math.inf)], {"m": Model(rate=math.nan)}, Data(1.0, {"m": [Model(rate=-math.inf)]}),
    [msgspec.Raw(b"null"), math.nan],
]  # fmt: skip


@pytest.mark.parametrize("value", WITHOUT_A_NUMBER)
def test_a_number_that_json_has_not_is_an_error_of_the_client_and_not_null(value: Any) -> None:
    with pytest.raises(InvalidTask, match="not finite"):
        json_bytes("payload", value, 1_000)


@pytest.mark.parametrize("depth", [65, 500, 100_000])
def test_a_bottomless_payload_is_an_error_of_the_client(depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]

    with pytest.raises(InvalidTask, match="payload"):
        json_bytes("payload", value, 1_000_000)


def test_ordinary_payloads_with_null_pass() -> None:
    value: Any = [
        Data(None, Struct(None)),
        Model(rate=None),
        msgspec.Raw(b'{"a":null}'),
        Decimal("NaN"),
        {"null"},
        {1: None},
    ]
    text = b'[{"rate":null,"more":{"rate":null}},{"rate":null},{"a":null},"NaN",["null"],{"1":null}]'
    assert json_bytes("payload", value, 1_000) == answer_bytes(value) == text
    assert json_bytes("payload", {"a": None, "b": [1.5, "null", None]}, 100) == b'{"a":null,"b":[1.5,"null",null]}'


@pytest.mark.parametrize(
    "query", ["ssl_cert_reqs=none", "db=1&ssl_cert_reqs=optional", "ssl%5Fcert_reqs=none", "ssl_check_hostname=false"]
)
def test_an_unverified_server_needs_an_explicit_word(query: str) -> None:
    url = f"rediss://h:1/0?{query}"
    with pytest.raises(InvalidSetting, match="not verified"):
        Settings(redis_url=url)
    assert Settings(redis_url=url, redis_insecure=True).redis_insecure
    assert Settings.load({"REDSCHED_REDIS_URL": url, "REDSCHED_REDIS_INSECURE": "1"}).redis_insecure
    Settings(redis_url="rediss://h:1/0?ssl_cert_reqs=required")


@pytest.mark.parametrize(
    "given",
    [
        {"redis_ca": "ca.crt"},
        {"redis_url": "rediss://h", "redis_cert": "c.crt"},
        {"redis_url": "rediss://h", "redis_key": "c.key"},
    ],
)
def test_half_a_tls_setting_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(InvalidSetting):
        Settings(**given)  # type: ignore[arg-type]


def test_the_security_checks_name_what_is_open(real_store: Store) -> None:
    with real_store.client() as client:
        lines = {line.check: line for line in security_checks(client)}

    assert {"tls", "certificate", "user", "rights", "default user"} <= lines.keys()
    assert (lines["tls"].level, lines["user"].level, lines["rights"].level) == ("OK", "WARN", "WARN")
    assert "EVAL" in lines["rights"].what and "acl print" in lines["rights"].mend
    assert lines["default user"].level in ("WARN", "FAIL")


def test_the_security_checks_are_content_with_a_user_of_the_worker_role(valkey_store: Store) -> None:
    from redsched.wire import acl

    assert valkey_store.url is not None
    line = acl.role("worker", valkey_store.namespace, ["q"]).line(f"{valkey_store.namespace}-w")
    valkey_store.redis.execute_command(*line.replace(">SECRET", ">pw").split(), "+acl|whoami", "+acl|dryrun")
    try:
        from redsched import Client

        url = valkey_store.url.replace("redis://", f"redis://{valkey_store.namespace}-w:pw@")
        with Client(url, namespace=valkey_store.namespace) as client:
            assert {line.level for line in security_checks(client)} == {"OK"}
    finally:
        valkey_store.redis.acl_deluser(f"{valkey_store.namespace}-w")


def test_a_far_server_without_tls_is_named() -> None:
    from redsched.observe import security

    assert security._transport(Settings(redis_url="redis://db.example:6379")).level == "WARN"
    assert security._transport(Settings(redis_url="rediss://db.example:6379")).level == "OK"
    assert security._verified(Settings(redis_url="rediss://h", redis_insecure=True)).level == "FAIL"
