# Made by tools/unasync.py from redsched/client/aio/streaming.py: change that, then `make sync-client`.
"""The verb of a client for lists of tasks that are longer than a call, and than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from redsched.client.requests import Duration, given_ms
from redsched.client.sync import runtime
from redsched.client.sync.task_types import Types
from redsched.model.errors import InvalidTask
from redsched.model.streamed import Streamed
from redsched.model.task import Task
from redsched.model.vocabulary import DEFAULT_QUEUE
from redsched.steps.streaming import Stream, check_list
from redsched.wire import runs

Tasks = Iterable[Task] | Iterable[Task]


class Streaming(Types):
    """A part of ``Client``."""

    def enqueue_stream(
        self,
        tasks: Tasks,
        *,
        run: str,
        spread: Duration = "0s",
        batch: int = 200,
        progress: Callable[[Streamed], None] | None = None,
    ) -> Streamed:
        """Create all tasks of a list, a million say, in calls of ``batch`` tasks; none is created twice.

        Redis keeps how far the ``run`` (a name) has come, written in one step with the tasks. After a crash, repeat the
        call with the same name and the same list in the same order: it goes on where it stopped, however long after.
        The name is known for 31 days after the last call. A task without an id gets ``<run>.<its number from 0>``.

        ``spread``: due times lie evenly over so long from the first call on, so that not all are due at once. A
        start-by must reach beyond the last of them.
        ``progress`` is called after each part with what is returned in the end.

        Raises:
            InvalidTask: a field of a task cannot be used. ``index`` is its number, ``written`` how many tasks at the
                beginning of the list are created all the same; mend it and repeat the call. Or the run is that of
                another list, of which this one is told by its first task and the last one that was created. Or
                ``tasks`` is no list of them, such as a text, a dict or a single Task.
            As ``enqueue_many``.
        """
        check_list(tasks)
        stream = Stream(run, given_ms("spread", spread), batch)
        stream.begin(self.transport.send(runs.place(self._keys(DEFAULT_QUEUE), run)))
        for task in runtime.each(tasks):
            if stream.add(task):
                self._part(stream, progress)
        stream.end()
        while stream.pending:
            self._part(stream, progress)
        return stream.told()

    def _part(self, stream: Stream, progress: Callable[[Streamed], None] | None) -> None:
        try:
            self.before_enqueue(stream.pending)
            found = self.with_former_queues(stream.pending)
            place = self.transport.send(stream.call(lambda some: self.enqueuing(found[: len(some)])))
        except InvalidTask as error:
            raise stream.refused(error) from None
        told = stream.answered(place)
        if progress is not None:
            progress(told)
