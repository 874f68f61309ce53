"""Conversations with Redis that take many calls or commands: generators without I/O, which a transport drives."""
