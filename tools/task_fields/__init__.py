"""Makes what lists the fields of a task from the table in ``redsched/model/fields.py``."""
