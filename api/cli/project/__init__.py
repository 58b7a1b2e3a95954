"""Project files: agents, supervisors, teams and a workflow in one document, read, checked and built.

Knows the layers below by what they export, and nothing of the commands. A definition is data that
does not change; the `Project` built of it is owned by the command that runs it.
"""

from .agent_entry import AgentEntry
from .definition import ProjectDefinition, RoleEntry, SupervisorEntry, TeamEntry
from .load import load_either, load_project, project_schema

__all__ = [
    "AgentEntry",
    "ProjectDefinition",
    "RoleEntry",
    "SupervisorEntry",
    "TeamEntry",
    "load_either",
    "load_project",
    "project_schema",
]
