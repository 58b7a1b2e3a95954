"""The metrics, described once: Prometheus, OpenTelemetry, the docs and the dashboard have them from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]

SECONDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
"""Bounds for what takes from half a millisecond to half an hour."""
# The two lists that OpenTelemetry's conventions for GenAI clients prescribe.
MODEL_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
MODEL_TOKENS: Final = tuple(float(4**power) for power in range(14))

_UNITS: Final = {"s": "_seconds", "USD": "_usd"}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: *name* and *labels* as OpenTelemetry has them, *unit* by UCUM."""

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()
    """The upper bounds of a histogram's buckets."""

    @property
    def prometheus_name(self) -> str:
        """The name in Prometheus's exposition, by OpenTelemetry's rules for it: what a collector in
        between makes of `name`.

        >>> find_metric("gen_ai.client.operation.duration").prometheus_name
        'gen_ai_client_operation_duration_seconds'
        """
        name = self.name.replace(".", "_") + _UNITS.get(self.unit, "")
        return f"{name}_total" if self.kind == "counter" else name

    @property
    def prometheus_labels(self) -> tuple[str, ...]:
        """The names of the labels there."""
        return tuple(label.replace(".", "_") for label in self.labels)


def _ours(
    name: str, kind: Kind, unit: str, help: str, *labels: str, bounds: tuple[float, ...] = SECONDS
) -> Metric:
    full_name = f"agenticaiframework.{name}"
    return Metric(
        full_name, kind, unit, help, ("system", *labels), bounds if kind == "histogram" else ()
    )


_OF_MODELS: Final = (
    "system",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.agent.name",
)

METRICS: Final[tuple[Metric, ...]] = (
    # Actors
    _ours("actors", "gauge", "{actor}", "Actors that live.", "actor"),
    _ours("actor.ends", "counter", "{actor}", "Actors that have ended, by reason.", "actor", "reason"),
    _ours("messages", "counter", "{message}", "Messages that were handled.", "actor"),
    _ours("mailbox.length", "gauge", "{message}", "Messages that wait, over all mailboxes.", "actor"),
    _ours("mailbox.longest", "gauge", "{message}", "Messages that wait in the longest mailbox.", "actor"),
    _ours("handler.duration", "histogram", "s", "Time in a handler, its waits included.", "actor", "outcome"),
    _ours("handlers.busy", "gauge", "{handler}", "Messages in hand.", "actor"),
    _ours("handlers.limit", "gauge", "{handler}", "Messages that may be in hand at once.", "actor"),
    _ours("handlers.longest", "gauge", "s", "How long the oldest message in hand has been.", "actor"),
    _ours("handlers.abandoned", "counter", "{handler}", "Handlers left behind that did not end when told to."),
    _ours("asks", "gauge", "{ask}", "Asks without an answer: waiting, or in hand.", "actor"),
    _ours("asks.oldest", "gauge", "s", "For how long the oldest ask has had no answer.", "actor"),
    _ours("late_replies", "counter", "{reply}", "Answers that came when nothing waited for them any more."),
    _ours("dead_letters", "counter", "{message}", "Messages that were not handled, by reason.", "reason"),
    # Supervision
    _ours("supervisor.restarts", "counter", "{restart}", "Restarts of children, and of incarnations of theirs.", "supervisor", "child"),
    _ours("supervisor.reports", "counter", "{report}", "What supervisors report, by kind: `gave_up`, `cooling_down` and so on.", "supervisor", "kind"),
    _ours("give_ups", "counter", "{give_up}", "Roots on which the program depends that have ended for good."),
    # The loop and the pools
    _ours("loop.lag", "histogram", "s", "How late the event loop is, looked at once a second."),
    _ours("pool.threads", "gauge", "{thread}", "Threads by what they do: `busy`, `waiting` for an answer, `idle`, `stuck`.", "pool", "state"),
    _ours("pool.limit", "gauge", "{thread}", "Threads that there may be.", "pool"),
    _ours("pool.queue", "gauge", "{job}", "Handlers that wait for a thread.", "pool"),
    # Several machines
    _ours("cluster.nodes", "gauge", "{node}", "Nodes of the cluster that are up, as this system sees them."),
    _ours("cluster.actors", "gauge", "{actor}", "Actors on other nodes that this one has refs of.", "node"),
    _ours("cluster.queue", "gauge", "{message}", "What waits to be taken by another node.", "node"),
    _ours("cluster.sent", "counter", "{message}", "What other nodes have taken.", "node"),
    _ours("cluster.losses", "counter", "{node}", "Nodes that were lost.", "node"),
    _ours("cluster.lost_messages", "counter", "{message}", "Messages to lost nodes, `never_sent` or `maybe_delivered`.", "node", "outcome"),
    # Workflows
    _ours("workflow.runs", "gauge", "{run}", "Runs in memory that have not ended.", "engine", "workflow", "state"),
    _ours("workflow.ended", "counter", "{run}", "Runs that have ended, or were cut short here (`interrupted`).", "engine", "workflow", "state"),
    _ours("workflow.duration", "histogram", "s", "Time from a run's beginning to its end.", "engine", "workflow", "state"),
    _ours("workflow.recovered", "counter", "{run}", "Runs that go on here after their process ended.", "engine", "workflow"),
    _ours("schedule.starts", "counter", "{start}", "Starts that were due by a schedule: `fired`, `missed`, `skipped`, `failed`.", "engine", "schedule", "outcome"),
    _ours("workflow.step.duration", "histogram", "s", "Time of an attempt at a step.", "engine", "workflow", "step", "outcome"),
    _ours("workflow.running", "gauge", "{run}", "Runs that have their turn.", "engine"),
    _ours("workflow.limit", "gauge", "{run}", "Runs that may have their turn at once.", "engine"),
    _ours("workflow.queue", "gauge", "{run}", "Runs that wait for their turn.", "engine"),
    _ours("workflow.queued", "gauge", "{run}", "Runs that wait in a queue, over all engines of the store; told by those that serve it.", "engine", "queue"),
    _ours("workflow.queued.oldest", "gauge", "s", "How long the run has waited that has waited longest in a queue; 0 where none waits.", "engine", "queue"),
    _ours("workflow.taken", "gauge", "{run}", "Runs that hold a place in a queue, over all engines of the store; told by those that serve it.", "engine", "queue"),
    # Stores
    _ours("journal.duration", "histogram", "s", "Time from handing an event to the store until it has it.", "engine", "outcome"),
    _ours("journal.commits", "counter", "{commit}", "Batches that the store has carried out.", "engine"),
    _ours("journal.appends", "counter", "{append}", "Writes in those batches: by commits, the size of a batch.", "engine"),
    _ours("journal.records", "counter", "{record}", "Records handed to the store.", "engine"),
    _ours("journal.failed", "counter", "{append}", "Writes that the store has refused.", "engine"),
    _ours("journal.largest_batch", "gauge", "{append}", "The most writes that one commit carried.", "engine"),
    _ours("store.outages", "counter", "{outage}", "How often the store did not answer.", "engine"),
    _ours("store.outage", "gauge", "s", "For how long the store has not answered; 0 while it does.", "engine"),
    # Models
    Metric(
        "gen_ai.client.token.usage", "histogram", "{token}", "Tokens that a request to a model took.",
        (*_OF_MODELS, "gen_ai.token.type"), MODEL_TOKENS,
    ),
    Metric(
        "gen_ai.client.operation.duration", "histogram", "s", "Time of a request to a model.",
        (*_OF_MODELS, "error.type"), MODEL_SECONDS,
    ),
    _ours("model.cost", "counter", "USD", "The known price of requests to models.", *_OF_MODELS[2:]),
    _ours("model.unpriced", "counter", "{request}", "Requests whose price is not known.", *_OF_MODELS[2:]),
)  # fmt: skip

_BY_NAME: Final = {metric.name: metric for metric in METRICS}


def find_metric(name: str) -> Metric:
    """Return the metric of that name; ours may be named without ``agenticaiframework.``."""
    found = _BY_NAME.get(name)
    return _BY_NAME[f"agenticaiframework.{name}"] if found is None else found


def metrics_table() -> str:
    """Return the metrics as a table in Markdown, as it stands in the docs."""
    lines = ["| metric | kind | labels | what |", "|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.prometheus_labels)
        lines.append(f"| `{metric.prometheus_name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(lines)
