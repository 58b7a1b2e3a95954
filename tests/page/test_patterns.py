"""The page's blocks on patterns, run as they stand."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from blocks import block, run_block


def test_the_sequential_block_passes_each_output_on(cast: Any, in_system: Any) -> None:
    async def main() -> None:
        cast.agent("extractor", lambda p: {"extracted_data": p + "/extracted"})
        cast.agent("analyzer", lambda p: {"analysis": p + "/analyzed"})
        cast.agent("summarizer", lambda p: {"summary": p + "/summed"})
        cast.agent("formatter", lambda p: f"<{p}>")
        found = block("Orchestration Patterns / Sequential Pattern")
        names = await run_block(found, {"document_content": "text"})
        assert names["result"] == "<text/extracted/analyzed/summed>"
        assert cast.asked == ["extractor", "analyzer", "summarizer", "formatter"]

    in_system(main)


def test_the_sequential_block_chains_plain_texts(cast: Any, in_system: Any) -> None:
    async def main() -> None:
        for name in ("extractor", "analyzer", "summarizer", "formatter"):
            cast.agent(name, lambda p, n=name: f"{p}>{n}")
        found = block("Orchestration Patterns / Sequential Pattern")
        names = await run_block(found, {"document_content": "text"})
        assert names["result"] == "text>extractor>analyzer>summarizer>formatter"

    in_system(main)


def test_the_parallel_blocks_branches_overlap_and_are_merged(cast: Any, in_system: Any) -> None:
    async def main() -> None:
        # No branch can pass the barrier before all of them have been started.
        together = asyncio.Barrier(3)

        def branch(answer: str) -> Any:
            async def run(payload: Any) -> str:
                await together.wait()
                return f"{answer} of {payload}"

            return run

        cast.agent("sentiment_analyzer", branch("mood"))
        cast.agent("entity_extractor", branch("things"))
        cast.agent("topic_classifier", branch("topics"))
        cast.agent(
            "result_merger",
            lambda p: {
                "sentiment": p["sentiment_analyzer"],
                "entities": p["entity_extractor"],
                "topics": p["topic_classifier"],
            },
        )
        found = block("Orchestration Patterns / Parallel Pattern")
        names = await run_block(found, {"input_text": "hello"})
        assert names["results"] == {
            "sentiment": "mood of hello",
            "entities": "things of hello",
            "topics": "topics of hello",
        }

    in_system(main)


def test_the_hierarchical_blocks_text_task_reaches_all_four_children(
    cast: Any, in_system: Any
) -> None:
    children = ["data_researcher", "web_researcher", "analyst", "writer"]

    async def main() -> None:
        flags = {"requires_research": True, "requires_report": True}
        cast.agent("research_director", lambda p: flags)
        for name in children:
            cast.agent(name, lambda p, n=name: f"{n} done")
        names = await run_block(block("Orchestration Patterns / Hierarchical Pattern"))
        assert cast.asked[0] == "research_director"
        assert sorted(cast.asked[1:]) == sorted(children)
        said = str(names["result"])
        assert all(f"{name} done" in said for name in children)

    in_system(main)


def test_the_hierarchical_blocks_conditions_choose_the_children(cast: Any, in_system: Any) -> None:
    async def main() -> None:
        cast.agent("research_director", lambda p: {"requires_research": True})
        for name in ("data_researcher", "web_researcher", "analyst", "writer"):
            cast.agent(name)
        await run_block(block("Orchestration Patterns / Hierarchical Pattern"))
        assert sorted(cast.asked[1:]) == ["data_researcher", "web_researcher"]

    in_system(main)


def test_the_choreography_block_runs_the_chain_of_events(cast: Any, in_system: Any) -> None:
    async def main() -> None:
        from agenticaiframework.orchestration import Emit

        def passing(event: str) -> Any:
            return lambda order: Emit(event, {**order, event: True})

        cast.agent("order_validator", passing("order.validated"))
        cast.agent("inventory_checker", passing("inventory.confirmed"))
        cast.agent("payment_processor", passing("payment.processed"))
        cast.agent("shipper", lambda order: "shipped")
        found = block("Orchestration Patterns / Choreography Pattern")
        await run_block(found, {"order_data": {"id": 7}})
        assert cast.asked == [
            "order_validator",
            "inventory_checker",
            "payment_processor",
            "shipper",
        ]
        (shipped,) = cast.payloads("shipper")
        assert shipped["id"] == 7
        assert shipped["payment.processed"] is True

    in_system(main)
