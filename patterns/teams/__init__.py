"""Teams: agents in roles, that work on tasks together."""

from .config import TeamConfig
from .discussion import Contribution, Discussion
from .errors import (
    TeamError,
    TeamFull,
    TeamIncomplete,
    UnknownMember,
    WrongHandoff,
)
from .handoff import AgentHandoff, HandoffRecord
from .message import TeamMessage
from .notes import NotesUnavailable, SharedNotes, shared_notes
from .result import TeamResult
from .role import AgentRole
from .team import AgentTeam
from .workflow import TeamStep

__all__ = [
    "AgentHandoff",
    "AgentRole",
    "AgentTeam",
    "Contribution",
    "Discussion",
    "HandoffRecord",
    "NotesUnavailable",
    "SharedNotes",
    "TeamConfig",
    "TeamError",
    "TeamFull",
    "TeamIncomplete",
    "TeamMessage",
    "TeamResult",
    "TeamStep",
    "UnknownMember",
    "WrongHandoff",
    "shared_notes",
]
