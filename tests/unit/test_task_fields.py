"""One table of a task's fields: what is made from it is as it says, and what is written by hand agrees with it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

import redsched
from redsched.cli import schedules
from redsched.engine.app import App
from redsched.model.condition import Conditions
from redsched.model.fields import FIELDS, Field
from redsched.model.task import Changes, Options, Task, TaskView
from redsched.model.template import TaskTemplate
from redsched.web.body_parts import ExpectBody
from redsched.web.task_body import TaskBody
from redsched.wire import tasks
from redsched.wire.claims import Started
from tools.task_fields import __main__ as command
from tools.task_fields import documents, sources
from tools.task_fields.__main__ import differing

ROOT = Path(redsched.__file__).parents[1]
LUA = ROOT / "lua"
TEMPLATE = {field.name for field in FIELDS if field.in_template}
WORDS = {field.word for field in FIELDS if field.in_hash}
MADE = sorted(sources.sources() | documents.documents(ROOT))
NOTE = Field(name="note", kind="token", longest=128, doc="a new field", option="--note")


def lua(path: str) -> str:
    """A file of the Lua tree."""
    return (LUA / path).read_text(encoding="utf-8")


def quoted(text: str) -> list[str]:
    """The texts in quotes, in order."""
    return re.findall(r"'([a-z_]+)'", text)


def lua_list(path: str, begins: str) -> list[str]:
    """The fields of a list in a Lua file: the texts in quotes between what begins it and its end."""
    _, found, rest = lua(path).partition(begins)
    assert found, f"{path} has no {begins}"
    return quoted(re.split(r"[})]", rest, maxsplit=1)[0])


def copy_made(folder: Path) -> None:
    """Every file of which something is made, in another folder."""
    for name in MADE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")


def test_what_is_made_from_the_table_is_as_it_says() -> None:
    assert differing(ROOT) == {}


def test_a_field_that_is_in_the_table_only_is_missed_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sources, documents):
        monkeypatch.setattr(module, "FIELDS", (*FIELDS, NOTE))

    found = differing(ROOT)

    assert sorted(found) == [path for path in MADE if path != "lua/lib/core/check.lua"]  # it has no range
    assert all("note" in text for text in found.values())


def test_a_number_that_is_in_the_table_only_is_missed_in_the_ranges_of_lua(monkeypatch: pytest.MonkeyPatch) -> None:
    number = Field(name="note", kind="whole", low=1, high=9, longest=1, doc="a new field")
    monkeypatch.setattr(documents, "FIELDS", (*FIELDS, number))

    assert "note = {1, 9}" in differing(ROOT)["lua/lib/core/check.lua"]


@pytest.mark.parametrize("path", MADE)
def test_a_field_that_is_in_one_place_only_is_noticed(path: str, tmp_path: Path) -> None:
    copy_made(tmp_path)
    text = (tmp_path / path).read_text(encoding="utf-8")
    made = text.lower().index("made by")  # in a README what is made begins there
    at = text.index("\n", text.index("max_attempts", made)) + 1
    (tmp_path / path).write_text(text[:at] + "note\n" + text[at:], encoding="utf-8")

    assert differing(tmp_path) == {path: text}


@pytest.mark.parametrize("path", sorted(documents._PARTS))
@pytest.mark.parametrize("gone", ["its mark", "all of it"])
def test_a_file_without_a_place_for_what_is_made_is_named(
    path: str, gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_made(tmp_path)
    text = (tmp_path / path).read_text(encoding="utf-8")
    if gone == "all of it":
        (tmp_path / path).unlink()
    else:
        (tmp_path / path).write_text(text.replace("made by `make fields`", "made by hand"), encoding="utf-8")
    monkeypatch.setattr(command, "ROOT", tmp_path)

    assert [command.main(words) for words in (["--check"], [])] == [1, 1]

    told = capsys.readouterr()
    missing = f"there is no file {path}" if gone == "all of it" else f"{path} has no part between "
    assert [line.startswith(missing) for line in told.err.splitlines()] == [True, True]
    assert told.out == ""


def test_names_and_words_are_there_once() -> None:
    names, words = [field.name for field in FIELDS], [field.word for field in FIELDS if field.in_hash]
    assert len(set(names)) == len(names)
    assert len(set(words)) == len(words)
    assert [field.name for field in FIELDS if field.by == "producer" and field.in_hash and not field.longest] == []


def test_the_structures_have_the_fields_of_the_table() -> None:
    given = [field.name for field in FIELDS if field.in_task]

    assert list(Task.__struct_fields__) == given + list(Conditions.__struct_fields__)
    assert list(TaskBody.__struct_fields__) == [f.name for f in FIELDS if f.in_body] + ["expect"]
    assert list(TaskTemplate.__struct_fields__) == [f.name for f in FIELDS if f.in_template]
    assert set(Changes.__annotations__) == tasks.UPDATABLE == {f.name for f in FIELDS if f.updatable}
    assert {name for name in Options.__annotations__ if name in given} == set(given) - {"type", "payload"}
    assert set(TaskView.__struct_fields__) >= {f.word for f in FIELDS if f.in_hash and f.kind != "word"}


# ``redsched schedule set`` and ``App.task`` offer some fields of the tasks that they make. What they leave out is here.

BY_FILE = "seldom given; `redsched schedule apply` takes it from a file"
NOT_IN_SET = {name: BY_FILE for name in ("retry", "key", "tags", "headers", "retention", "keep", "conditions")}
OF_ONE_TASK = "of one task, not of all of a type: an argument of `TaskType.task` and of `enqueue`"
NOT_OF_A_TYPE = {name: OF_ONE_TASK for name in ("payload", "tags", "headers", "conditions", "priority")} | {
    "keep": "it has no default of a type yet; an argument of `TaskType.task`",
}


def test_each_field_of_a_template_is_an_option_of_schedule_set_or_is_left_out_on_purpose() -> None:
    offered = {parameter.name for parameter in schedules.set_.params}

    assert (offered & TEMPLATE) | NOT_IN_SET.keys() == TEMPLATE
    assert not offered & NOT_IN_SET.keys()


def test_each_field_of_a_template_is_a_default_of_a_type_or_is_left_out_on_purpose() -> None:
    offered = inspect.signature(App.task).parameters.keys() - {"self"} | {"type"}  # the first argument, by another name

    assert (offered & TEMPLATE) | NOT_OF_A_TYPE.keys() == TEMPLATE
    assert not offered & NOT_OF_A_TYPE.keys()
    given = dict.fromkeys(offered & TEMPLATE - {"type", "queue"}, "5s") | {"max_attempts": 2}
    app = App()
    app.task("t", queue="q", **given)(lambda: None)  # type: ignore[arg-type]
    made = app.tasks["t"].task()
    assert {name for name in TEMPLATE if getattr(made, name) != getattr(Task(type="t"), name)} == {*given, "queue"}


# What a worker reads of each task and the lists of the scripts are written by hand. They agree with the table.


CLAIMED = lua_list("lib/tasks/claim.lua", "claim.FIELDS = {")
PLAIN = [lua_list("lib/tasks/claim.lua", f"count == {n} then\n    found = redis.pcall('HMGET', key, ") for n in (7, 8)]
PROMOTED = lua_list("lib/tasks/promote.lua", "redis.pcall('HMGET', key, ")


def test_what_a_worker_reads_is_in_the_table() -> None:
    assert set(Started.__struct_fields__) <= WORDS | {"queue", "id"}
    assert set(CLAIMED) <= WORDS
    assert [len(fields) for fields in PLAIN] == [7, 8] and PLAIN[0] == PLAIN[1][:7] and set(PLAIN[1]) <= WORDS
    assert lua_list("lib/tasks/claim.lua", "hash.of_reply(key, redis.pcall('HMGET', key, ") == CLAIMED
    assert list(Started.__struct_fields__[4:-1]) == CLAIMED[4:-1]  # in the order of an answer


@pytest.mark.parametrize(
    ("path", "begins"),
    [
        ("lib/tasks/promote.lua", "redis.pcall('HMGET', key, "),
        ("lib/tasks/submission.lua", "redis.pcall('HMGET', task.hash, "),
        ("lib/conditions/blocked.lua", "local FIELDS = {"),
        ("lib/repair/task_view.lua", "local names = {"),
        ("list.lua", "hash.read(q.task .. item[1], "),
    ],
)
def test_what_a_script_reads_of_a_task_is_in_the_table(path: str, begins: str) -> None:
    found = lua_list(path, begins)

    assert found
    assert set(found) <= WORDS


def test_a_listing_is_read_as_the_script_answers_it() -> None:
    assert lua_list("list.lua", "hash.read(q.task .. item[1], ") == list(tasks._LISTED)


def test_what_a_raw_producer_wrote_is_checked_once_it_is_due() -> None:
    """A field that promote and claim do not check themselves is in the list of those that promote has checked."""
    checks = lua("lib/tasks/fields.lua").partition("local CHECK = {")[2].partition("}")[0]
    checked = re.findall(r"(\w+) = '", checks)

    assert set(documents.READ_WHEN_DUE) <= {*PROMOTED, *CLAIMED}
    assert set(checked) == {*documents.READ_WHEN_DUE, *lua_list("lib/tasks/fields.lua", "local WRITTEN = {")}


def test_the_longest_conditions_are_those_that_can_be_read() -> None:
    (longest,) = re.findall(r"schema.LONGEST = (\d+)", lua("lib/conditions/schema.lua"))

    assert [field.longest for field in FIELDS if field.kind == "conditions"] == [int(longest)]


def types(schema: Any, named: dict[str, Any]) -> set[str]:
    """The JSON types that a schema admits."""
    if "$ref" in schema:
        return types(named[schema["$ref"].rpartition("/")[2]], named)
    if "anyOf" in schema:
        return set().union(*(types(one, named) for one in schema["anyOf"]))
    if "enum" in schema:
        return {"string"}
    found = schema.get("type", "any")
    return {found} if isinstance(found, str) else set(found)


def test_the_json_schema_admits_what_a_request_may_hold() -> None:
    found = msgspec.json.decode((ROOT / "redsched/web/task.schema.json").read_bytes())
    (told,), named = msgspec.json.schema_components([TaskBody], ref_template="#/$defs/{name}")
    body = named[told["$ref"].rpartition("/")[2]]

    assert set(found["properties"]) == set(body["properties"])
    assert found["required"] == body["required"]
    assert found["additionalProperties"] is body["additionalProperties"] is False
    for name, schema in found["properties"].items():
        assert types(schema, named) == types(body["properties"][name], named), name
    expect = found["properties"]["expect"]["anyOf"][1]
    assert set(expect["properties"]) == set(ExpectBody.__struct_fields__)
