"""Measurements of redsched, one file a question. Each prints its figures beside a floor measured in the same run."""
