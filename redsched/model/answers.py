"""What verbs on tasks by their ids answer: a word for each id."""

from __future__ import annotations

from typing import Literal

from redsched.model.vocabulary import State

CancelAnswer = Literal["cancelled", "requested", "finished", "missing"]
RescheduleAnswer = Literal["rescheduled", "running", "finished", "missing"]
UpdateAnswer = Literal["updated", "running", "finished", "missing"]
ReviveAnswer = Literal["revived", "missing"] | State
DropAnswer = Literal["dropped", "missing"] | State
RequeueAnswer = Literal["requeued", "missing", "no hash", "wrong type"] | State
ConfirmAnswer = Literal["confirmed", "refused", "missing"] | State
AbandonAnswer = Literal["abandoned", "requested", "refused", "missing"] | State
RuleAnswer = Literal["created", "updated", "unchanged"]
