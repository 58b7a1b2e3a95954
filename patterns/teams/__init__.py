"""Teams: agents in roles, that work on tasks together.

Knows patterns and what is below them, and nothing of the engine. Roles and members are owned by
the code that puts the team together, turns by the team's actor, a task by its coordinator.
"""

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
