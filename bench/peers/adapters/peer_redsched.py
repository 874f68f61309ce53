"""redsched: Client.enqueue and enqueue_many; the shipped worker with its defaults."""

import os
import sys

from shared import URL, batches, main

from redsched import Client, Task

TYPE, QUEUE = "bench.noop", "bench"
client = Client(URL, name="bench") if sys.argv[1:2] == ["produce"] else None
if client is not None:
    client.install()


def prepare(arguments):
    return Task(type=TYPE, payload=arguments, queue=QUEUE, due=arguments["due_ms"] or None)


def one(items):
    for item in items:
        client.enqueue(TYPE, item, queue=QUEUE)


def bulk(tasks):
    for part in batches(tasks):
        client.enqueue_many(part)


def due(items):
    bulk([prepare(item) for item in items])


def work(due):
    folder, name = os.path.split(os.environ["PEER_FILE"])
    os.chdir(folder)  # where the handler of bench.app puts its records
    os.environ["REDSCHED_REDIS_URL"] = URL
    assert name == "started.bin"
    os.execv(sys.executable, [sys.executable, "-m", "redsched", "worker", "bench.app:app", "-q", QUEUE, "-c", "16"])


if __name__ == "__main__":
    main(one=one, bulk=bulk, due=due, work=work, prepare=prepare)
