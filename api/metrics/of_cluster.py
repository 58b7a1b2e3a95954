"""The numbers of a cluster, as one of its nodes sees them."""

from __future__ import annotations

from collections.abc import Callable

from agenticaiframework.actors import ActorSystem, NodeDown

from .series import AllSeries, Labels


class ClusterNumbers:
    """Looks at the nodes that a system knows, if it is in a cluster. On the thread of its loop."""

    def __init__(self, system: ActorSystem, series: AllSeries) -> None:
        self._system = system
        self._series = series
        self._sent: dict[str, int] = {}
        """What is counted of each node, by its id."""
        self._end: Callable[[], None] = system.subscribe(self._lost, NodeDown)

    def stop(self) -> None:
        """Look no more."""
        self._end()

    def look(self) -> None:
        """Take in what is known of each node."""
        cluster = self._system.cluster
        if cluster is None:
            return
        states = cluster.states()
        actors: dict[Labels, float] = {}
        waiting: dict[Labels, float] = {}
        for state in states:
            name = state.node.name
            if state.is_here:
                continue
            self._count_sent(state.node.id, name, state.sent)
            if state.lost is None:
                actors[name,] = state.actors
                waiting[name,] = state.waiting
        series = self._series
        series["cluster.nodes"].replace({(): sum(state.lost is None for state in states)})
        series["cluster.actors"].replace(actors)
        series["cluster.queue"].replace(waiting)

    def _count_sent(self, node: str, name: str, sent: int) -> None:
        before = self._sent.get(node, 0)
        if sent > before:
            self._sent[node] = sent
            self._series["cluster.sent"].add(sent - before, name)

    def _lost(self, event: NodeDown) -> None:
        name = event.node.name
        self._series["cluster.losses"].add(1, name)
        for outcome in ("never_sent", "maybe_delivered"):
            number = getattr(event, outcome)
            if number:
                self._series["cluster.lost_messages"].add(number, name, outcome)


__all__ = ["ClusterNumbers"]
