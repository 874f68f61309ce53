"""The site of the documentation: pages of ``docs/``, pages that are files of this repository, pages made from the code.

``python -m tools.docs`` builds it without a network.
"""
