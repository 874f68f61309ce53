"""What verbs on tasks by their ids answer: a word for each id.

``expires``: nothing was written, for the task would be due only after its start-by. ``moved``: nothing was written, for
the task was moved to another queue; name that.
"""

from __future__ import annotations

from typing import Literal

from redsched.model.vocabulary import State

CancelAnswer = Literal["cancelled", "requested", "moved", "finished", "missing"]
RescheduleAnswer = Literal["rescheduled", "expires", "running", "moved", "finished", "missing"]
UpdateAnswer = Literal["updated", "expires", "running", "moved", "finished", "missing"]
ReviveAnswer = Literal["revived", "expires", "moved", "missing"] | State
DropAnswer = Literal["dropped", "missing"] | State
RequeueAnswer = Literal["requeued", "expires", "missing", "no hash", "wrong type"] | State
ConfirmAnswer = Literal["confirmed", "refused", "missing"] | State
AbandonAnswer = Literal["abandoned", "requested", "refused", "missing"] | State
RuleAnswer = Literal["created", "updated", "unchanged"]
AbortAnswer = Literal["abort", "aborted", "over", "missing"]
