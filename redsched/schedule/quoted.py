"""What may be told of a refused name of a zone or a calendar, a date or a time of day: people look for a typing error.

It is quoted where it is plain. Anything else may be a secret in a wrong place: only its length is told.
"""

from __future__ import annotations

import re
from typing import Any

_PLAIN = re.compile(r"[A-Za-z0-9_/+:*-]{1,64}", re.ASCII)


def quoted_if_plain(value: Any) -> str:
    """``'Europe/Berln'``, or ``a text of 65 characters``."""
    if not isinstance(value, str):
        return f"a {type(value).__name__}"
    return repr(value) if _PLAIN.fullmatch(value) else f"a text of {len(value)} characters"
