"""Plan, execute, plan again, until the planner has an answer (LangGraph's plan-and-execute).

The replanner's answer is one of two types. One that is neither goes back to the model.

python examples/gallery/03_plan_and_execute.py

    planner: {'steps': ['who won the Australian open 2024?', 'where is his home?']}
    executor: Jannik Sinner
    replanner: {'steps': ['where is his home?']}
    executor#2: Sexten, Italy
    replanner#2: {'answer': 'Sexten, Italy'}
    answer: Sexten, Italy
    6 requests
"""

import asyncio

from pydantic import BaseModel

from agenticaiframework import Agent
from agenticaiframework.models import ScriptedRequest
from agenticaiframework.orchestration import OrchestrationEngine, WorkflowRun, workflow
from agenticaiframework.testing import scripted_model


class Plan(BaseModel):
    steps: list[str]


class Response(BaseModel):
    answer: str


MODEL = "openai:gpt-4o-mini"
planner = Agent("planner", model=MODEL, instructions="Make a short plan.", output_type=Plan)
executor = Agent("executor", model=MODEL, instructions="Do the step.")
replanner = Agent(
    "replanner",
    model=MODEL,
    instructions="Give the answer, or else the steps that are left.",
    output_type=[Response, Plan],
)


@workflow(name="research")
async def research(run: WorkflowRun, objective: str) -> str:
    plan = await run.ask(planner, objective, returns=Plan)
    done: list[tuple[str, str]] = []
    for _ in range(50):
        said = await run.ask(executor, {"step": plan.steps[0], "done": done})
        done.append((plan.steps[0], said))
        next_one: Response | Plan = await run.ask(
            replanner,
            {"objective": objective, "plan": plan.steps, "done": done},
            returns=Response | Plan,
        )
        if isinstance(next_one, Response):
            return next_one.answer
        plan = next_one
    raise RuntimeError(f"no answer after {len(done)} steps")


FACTS = {
    "who won the Australian open 2024?": "Jannik Sinner",
    "where is his home?": "Sexten, Italy",
}


def script(request: ScriptedRequest) -> object:
    """Answer in the place of the models, so that this runs offline."""
    match request.agent:
        case "planner":
            return {"steps": list(FACTS)}
        case "executor":
            return FACTS[request.payload["step"]]
        case _ if request.number == 1 and len(request.payload["done"]) == 2:
            return {"verdict": "I know it"}  # neither a plan nor an answer
        case _ if len(request.payload["done"]) == 2:
            return {"answer": FACTS["where is his home?"]}
        case _:
            return {"steps": request.payload["plan"][1:]}


async def main() -> None:
    async with OrchestrationEngine() as engine:
        run_id = await engine.start_workflow(research, "the hometown of the 2024 winner?")
        async for event in engine.stream(run_id):
            if event.kind == "step_completed":
                print(f"{event.step}: {event.data['output']}")
        print("answer:", await engine.wait(run_id))
        print((await engine.get_workflow_status(run_id)).usage.requests, "requests")


if __name__ == "__main__":
    with scripted_model(script):  # without this line, the hosted models answer
        asyncio.run(main())
