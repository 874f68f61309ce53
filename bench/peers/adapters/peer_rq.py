"""rq: enqueue_many of 1,000; SimpleWorker, which forks for no job, with its scheduler process; no results kept."""

import datetime
import logging

from redis import Redis
from rq import Queue, SimpleWorker
from shared import PORT, batches, main, record

NOOP = "peer_rq.noop"
connection = Redis(port=PORT, socket_timeout=None)  # redis-py's 5 s are less than it waits for a job
queue = Queue("bench", connection=connection)


def noop(number, due_ms, text):
    record(number, due_ms)


def prepare(item):
    return Queue.prepare_data(NOOP, kwargs=item, result_ttl=0)


def one(items):
    for item in items:
        queue.enqueue(NOOP, kwargs=item, result_ttl=0)


def bulk(prepared):
    for part in batches(prepared):
        queue.enqueue_many(part)


def due(items):
    for part in batches(items):
        with connection.pipeline() as pipeline:
            for item in part:
                when = datetime.datetime.fromtimestamp(item["due_ms"] / 1_000, datetime.UTC)
                queue.enqueue_at(when, NOOP, kwargs=item, result_ttl=0, pipeline=pipeline)
            pipeline.execute()


def work(due):
    SimpleWorker([queue], connection=connection).work(with_scheduler=due, logging_level=logging.WARNING)


if __name__ == "__main__":
    main(one=one, bulk=bulk, due=due, work=work, prepare=prepare)
