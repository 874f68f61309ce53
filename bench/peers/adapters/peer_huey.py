"""huey: task() in a loop; four threads, blocking reads, no results. It acknowledges nothing."""

from huey import RedisHuey
from shared import URL, main, now_ms, record

huey = RedisHuey("bench", results=False, blocking=True, url=URL)


@huey.task()
def noop(number, due_ms, text):
    record(number, due_ms)


def one(items):
    for item in items:
        noop(**item)


def due(items):
    for item in items:
        noop.schedule(kwargs=item, delay=(item["due_ms"] - now_ms()) / 1_000)


def work(due):
    huey.create_consumer(workers=4, worker_type="thread", periodic=False, scheduler_interval=1).run()


if __name__ == "__main__":
    main(one=one, bulk=one, due=due, work=work)
