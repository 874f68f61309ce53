"""What verbs on tasks by their ids answer: a word for each id.

``expires``: nothing was written, for the task would be due only after its start-by.
"""

from __future__ import annotations

from typing import Literal

from redsched.model.vocabulary import State

CancelAnswer = Literal["cancelled", "requested", "finished", "missing"]
RescheduleAnswer = Literal["rescheduled", "expires", "running", "finished", "missing"]
UpdateAnswer = Literal["updated", "expires", "running", "finished", "missing"]
ReviveAnswer = Literal["revived", "expires", "missing"] | State
DropAnswer = Literal["dropped", "missing"] | State
RequeueAnswer = Literal["requeued", "expires", "missing", "no hash", "wrong type"] | State
ConfirmAnswer = Literal["confirmed", "refused", "missing"] | State
AbandonAnswer = Literal["abandoned", "requested", "refused", "missing"] | State
RuleAnswer = Literal["created", "updated", "unchanged"]
