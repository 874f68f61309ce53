"""celery: apply_async in a loop; two threads, prefetch multiplier 100, nothing between workers, results ignored.

A task with an eta waits in the worker's memory.
"""

import datetime

from celery import Celery
from shared import URL, main, record

app = Celery("bench", broker=URL)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=100,
    broker_connection_retry_on_startup=True,
    timezone="UTC",
    worker_send_task_events=False,
)


@app.task(name="noop", ignore_result=True)
def noop(number, due_ms, text):
    record(number, due_ms)


def one(items):
    with app.producer_or_acquire() as producer:
        for item in items:
            noop.apply_async(kwargs=item, producer=producer)


def due(items):
    with app.producer_or_acquire() as producer:
        for item in items:
            when = datetime.datetime.fromtimestamp(item["due_ms"] / 1_000, datetime.UTC)
            noop.apply_async(kwargs=item, eta=when, producer=producer)


def work(due):
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"]
    app.worker_main(["worker", "--pool", "threads", "--concurrency", "2", *quiet])


if __name__ == "__main__":
    main(one=one, bulk=one, due=due, work=work)
