"""Requests and tool calls in stored runs: recorded as inner steps, parked for an approval.

Knows of the actors, of metering and of pydantic-ai.
What is recorded is owned by the journal of the step.
"""
