"""streaq: enqueue_many of 1,000; a worker of concurrency and prefetch 100 that keeps no results."""

import datetime

from shared import URL, batches, main, record
from streaq import Worker

worker = Worker(redis_url=URL, concurrency=100, prefetch=100, anyio_kwargs={"use_uvloop": True})


@worker.task(ttl=0, silent=True)
async def noop(number: int, due_ms: int, text: str) -> None:
    record(number, due_ms)


async def connect():
    await worker.__aenter__()


def prepare(item):
    task = noop.enqueue(**item)
    if not item["due_ms"]:
        return task
    return task.start(schedule=datetime.datetime.fromtimestamp(item["due_ms"] / 1_000, datetime.UTC))


async def one(items):
    for item in items:
        await noop.enqueue(**item)


async def bulk(tasks):
    for part in batches(tasks):
        await worker.enqueue_many(part)


def due(items):
    return bulk([prepare(item) for item in items])


def work(due):
    worker.run_sync()


if __name__ == "__main__":
    main(one=one, bulk=bulk, due=due, work=work, connect=connect, prepare=prepare)
