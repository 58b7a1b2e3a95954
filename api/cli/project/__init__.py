"""Project files: what the command line runs."""

from .definition import AgentEntry, ProjectDefinition, RoleEntry, SupervisorEntry, TeamEntry
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
