"""Agents of other libraries as handlers: LangChain, LangGraph, OpenAI agents, CrewAI, tools.

Told by the names of their classes; a library is imported only by code that runs one of its objects.
Each adapter owns the state of its handler alone.
"""

from .recognise import adapt_handler

__all__ = ["adapt_handler"]
