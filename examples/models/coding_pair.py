"""A coder and a critic: the critic runs the tests and says what is wrong, until it agrees.

The critic's verdict is typed: the pattern asks it for `approved` and `feedback`.
A coder that never gets there is an error that has the last draft and the last feedback.

python examples/models/coding_pair.py

    coder: def median(xs): return sorted(xs)[len(xs) // 2]
    critic: approved=False feedback='median([1, 2, 3, 4]) is 3, and not 2.5'
    coder: def median(xs): s, n = sorted(xs), len(xs); return (s[(n - 1) // 2] + s[n // 2]) / 2
    critic: approved=True feedback=''
    a lazy coder: not accepted after 3 rounds: median([1, 2, 3, 4]) is 3, and not 2.5
"""

import asyncio

from agenticaiframework import Agent
from agenticaiframework.actors import ActorSystem
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import Completed, NotAccepted, ReflectionOrchestration
from agenticaiframework.testing import scripted_model

FIRST = "def median(xs): return sorted(xs)[len(xs) // 2]"
SECOND = "def median(xs): s, n = sorted(xs), len(xs); return (s[(n - 1) // 2] + s[n // 2]) / 2"


def run_tests(code: str) -> str:
    """Run the tests on the code, and tell what fails."""
    names: dict[str, object] = {}
    exec(code, names)  # a real one belongs into a sandbox
    median = names["median"]
    assert callable(median)
    for numbers, wanted in ([3, 1, 2], 2), ([1, 2, 3, 4], 2.5):
        if (got := median(numbers)) != wanted:
            return f"median({numbers}) is {got}, and not {wanted}"
    return "all tests pass"


MODEL = "openai:gpt-4o-mini"


def pair(coder: str) -> ReflectionOrchestration:
    return ReflectionOrchestration(
        "median",
        maker=Agent(coder, model=MODEL, instructions="Write Python. Answer with the code alone."),
        reviewer=Agent(
            "critic",
            model=MODEL,
            instructions="Run the tests. Approve only what passes all of them.",
            tools=[run_tests],
        ),
        max_rounds=3,
        exhausted="fail",
    )


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the models, so that this runs offline."""
    if request.agent == "coder":
        return SECOND if "not 2.5" in request.prompt else FIRST
    if request.agent == "lazy coder":
        return FIRST
    if not request.results:
        return request.call("run_tests", code=request.payload["draft"])
    found = str(request.results[0].result)
    approved = found == "all tests pass"
    return {"approved": approved, "feedback": "" if approved else found}


async def main() -> None:
    async with ActorSystem():
        report = await pair("coder").run("Write a function median(xs).")
        for outcome in report.outcomes.values():
            if isinstance(outcome, Completed):
                print(f"{outcome.agent}: {outcome.value}")
        try:
            await pair("lazy coder").execute("Write a function median(xs).")
        except NotAccepted as error:
            print(f"a lazy coder: not accepted after {error.rounds} rounds: {error.feedback}")


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the hosted model answers
        asyncio.run(main())
