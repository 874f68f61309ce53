"""Tries hard to break a deployment and proves from the records whether anything was lost, doubled or early."""
