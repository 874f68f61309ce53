"""The client of one event loop. It is the source of ``redsched/client/sync``, which ``make sync-client`` makes from it.

Only ``runtime.py`` is written by hand on both sides. ``tracking.py`` is for movers, which run on an event loop.
"""
