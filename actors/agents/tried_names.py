"""What is tried on agents and does not exist, with what is meant. Newcomers bring these names along."""

from __future__ import annotations

from typing import Final

_SETTINGS = "It belongs to the model: model_settings={{{!r}: ...}}."
_IN_INSTRUCTIONS = "Write it into instructions=."
_ASK = "Ask with `await agent.ask(payload)`, or agent.ask_sync(payload) where no event loop runs."

AGENT_OPTIONS: Final[dict[str, str]] = {
    "backstory": _IN_INSTRUCTIONS,
    "callback": "handler",
    "deps_type": "Give the object itself: deps=...; tools find it as ctx.deps.",
    "fn": "handler",
    "func": "handler",
    "function": "handler",
    "functions": "tools",
    "goal": _IN_INSTRUCTIONS,
    "handoffs": "A team has them: TeamConfig(mode='swarm') and team.configure_handoffs([...]); an agent that "
    "is only asked is a tool: tools=[other].",
    "input_guardrails": "guardrails",
    "llm": "model",
    "max_retries": "retries",
    "max_tokens": _SETTINGS.format("max_tokens"),
    "mcp_servers": "They stand among the tools: tools=[McpServer('uvx', 'mcp-server-time')].",
    "memory": "An agent with a model remembers by session: agent.ask(payload, session='user-17').",
    "on_message": "Register it: @agent.on_message.",
    "output": "output_type",
    "output_guardrails": "Say when they check: guardrails=[Guardrail(check, when='after')].",
    "prompt": "instructions",
    "response_format": "output_type",
    "response_model": "output_type",
    "restart_policy": "A supervisor has it: AgentSupervisor('pool', restart_policy=...).",
    "result_type": "output_type",
    "role": _IN_INSTRUCTIONS,
    "skills": "capabilities",
    "system_message": "instructions",
    "system_prompt": "instructions",
    "sub_agents": "An agent that is asked by a model is a tool: tools=[other].",
    "target": "handler",
    "temperature": _SETTINGS.format("temperature"),
    "toolsets": "tools",
    "timeout": "Each call has its own: agent.ask(payload, timeout=30).",
}
"""Options of constructors elsewhere."""

AGENT_ATTRIBUTES: Final[dict[str, str]] = {
    "arun": _ASK,
    "call": _ASK,
    "chat": _ASK,
    "execute": _ASK,
    "execute_sync": _ASK,
    "generate": _ASK,
    "invoke": _ASK,
    "kickoff": _ASK,
    "process": _ASK,
    "query": _ASK,
    "run_sync": "agent.ask_sync(payload) returns the answer; `await agent.run(payload)` the whole result.",
    "send": "`await agent.ask(payload)` waits for the answer; agent.tell(payload) does not.",
    "start": "An agent starts with its first message: `await agent.ask(payload)`.",
    "astream": "Read `async for part in agent.stream(payload)`.",
    "run_stream": "Read `async for part in agent.stream(payload)`.",
}
"""Methods of agents elsewhere."""
