"""Teams: agents in roles, that work on tasks together.

Knows patterns and what is below them, and nothing of the engine. Roles and members are owned by
the code that puts the team together, turns by the team's actor, a task by its coordinator.
"""

from .config import TeamConfig
from .conversation import Utterance
from .discussion import Contribution, Discussion
from .errors import (
    TeamError,
    TeamFull,
    TeamIncomplete,
    UnknownMember,
    WrongHandoff,
)
from .guarding import TeamStopped
from .handoff import AgentHandoff, HandoffRecord
from .message import TeamMessage
from .notes import NotesUnavailable, SharedNotes, shared_notes
from .result import TeamResult
from .role import AgentRole
from .shared import shared_history
from .state import StateUnavailable, team_state
from .swarm import HandingOver
from .team import AgentTeam
from .workflow import TeamStep

__all__ = [
    "AgentHandoff",
    "AgentRole",
    "AgentTeam",
    "Contribution",
    "Discussion",
    "HandingOver",
    "HandoffRecord",
    "NotesUnavailable",
    "SharedNotes",
    "StateUnavailable",
    "TeamConfig",
    "TeamError",
    "TeamFull",
    "TeamIncomplete",
    "TeamMessage",
    "TeamResult",
    "TeamStep",
    "TeamStopped",
    "UnknownMember",
    "Utterance",
    "WrongHandoff",
    "shared_history",
    "shared_notes",
    "team_state",
]
