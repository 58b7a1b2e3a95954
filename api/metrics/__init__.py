"""A running system in numbers and spans: Prometheus, OpenTelemetry, a trace through all that is asked.

Knows the layers below by what they export, and looks at them; they know nothing of it.
Its state is that of each `Measures`, owned by the thread of its system's loop.
"""

from .agent_spans import trace_agents
from .descriptions import METRICS, Metric, find_metric, metrics_table
from .measuring import Measures, measure
from .prometheus import metrics_app, metrics_text

__all__ = [
    "METRICS",
    "Measures",
    "Metric",
    "find_metric",
    "measure",
    "metrics_app",
    "metrics_table",
    "metrics_text",
    "trace_agents",
]
