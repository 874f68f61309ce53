"""The W3C trace context that a task carries."""

from __future__ import annotations

import asyncio

import pytest

from redsched.model import trace

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_valid_traceparent_is_read_and_written_back() -> None:
    context = trace.parse(PARENT)

    assert context == trace.TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1)
    assert context is not None and context.traceparent == PARENT


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "garbage",
        PARENT.upper(),
        PARENT + "-more",  # version 00 ends after the flags
        PARENT + "\n",
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "01" + PARENT[2:] + "-" + "x" * 300,
    ],
)
def test_an_invalid_traceparent_is_ignored(text: str | None) -> None:
    assert trace.parse(text) is None
    assert not trace.valid(text)
    assert trace.child(text) is None


def test_a_later_version_may_say_more() -> None:
    assert trace.parse("cc" + PARENT[2:] + "-what-comes") == trace.parse(PARENT)


def test_a_child_keeps_the_trace_and_has_a_span_of_its_own() -> None:
    first, second = trace.parse(trace.child(PARENT)), trace.parse(trace.child(PARENT))

    assert first is not None and second is not None
    assert first.trace_id == second.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert first.flags == 1
    assert len({first.span_id, second.span_id, "00f067aa0ba902b7"}) == 3


def test_the_block_of_a_task_knows_its_trace_and_the_one_after_it_does_not() -> None:
    assert trace.current() is None
    with trace.enter(PARENT):
        assert trace.current() == trace.parse(PARENT)
        with trace.enter(None):
            assert trace.current() is None
        assert trace.current() == trace.parse(PARENT)
    assert trace.current() is None


def test_tasks_that_run_at_once_do_not_see_each_others_trace() -> None:
    other = PARENT.replace("4bf9", "aaaa")

    async def run(traceparent: str, mine: asyncio.Event, theirs: asyncio.Event) -> str:
        with trace.enter(traceparent):
            mine.set()
            await theirs.wait()
            context = trace.current()
            assert context is not None
            return context.traceparent

    async def both() -> list[str]:
        one, two = asyncio.Event(), asyncio.Event()
        return list(await asyncio.gather(run(PARENT, one, two), run(other, two, one)))

    assert asyncio.run(both()) == [PARENT, other]
