"""What requests to models took, by the event that each publishes."""

from __future__ import annotations

from collections.abc import Callable

from agenticaiframework.actors import ActorSystem, ModelRequestEnded

from .series import AllSeries


def count_models(system: ActorSystem, series: AllSeries) -> Callable[[], None]:
    """Take in what requests to models take from now on; returns a function that ends it."""

    def ended(event: ModelRequestEnded) -> None:
        labels = ("chat", event.provider, event.model, event.agent)
        usage = event.usage
        failed = "" if event.error is None else event.error.partition(":")[0]
        series["gen_ai.client.operation.duration"].observe(event.duration_s, *labels, failed)
        for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if tokens:
                series["gen_ai.client.token.usage"].observe(tokens, *labels, kind)
        if usage.cost is not None:
            series["model.cost"].add(float(usage.cost), *labels[1:])
        if usage.unpriced_requests:
            series["model.unpriced"].add(usage.unpriced_requests, *labels[1:])

    return system.subscribe(ended, ModelRequestEnded)


__all__ = ["count_models"]
