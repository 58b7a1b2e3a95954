"""Hypothesis strategies for faults, orders, work, supervision trees and workflows.

Knows what simulation and supervision export; needs the extra ``testing``.
Has no state: a strategy owns nothing, and each example is made anew.
"""

from agenticaiframework.testing.needs_hypothesis import version as hypothesis_version  # first

from .faults import fault_plans, faults, schedules, seeds
from .trees import TreePlan, WorkerPlan, build_tree, supervision_trees
from .workflows import workflow_graphs
from .workloads import Step, run_workload, workloads

__all__ = [
    "Step",
    "TreePlan",
    "WorkerPlan",
    "build_tree",
    "fault_plans",
    "faults",
    "hypothesis_version",
    "run_workload",
    "schedules",
    "seeds",
    "supervision_trees",
    "workflow_graphs",
    "workloads",
]
