"""Scripts in the place of models: what they see, and what they may answer.

Knows of the actors, of content, and of pydantic-ai where a script stands in for one of its models.
A script owns its state.
"""
