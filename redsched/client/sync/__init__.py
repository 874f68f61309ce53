"""The client of threads. All but ``runtime.py`` is made from ``redsched/client/aio`` by ``make sync-client``."""
