"""redsched beside other libraries: the same work, on the same server, in one run."""
