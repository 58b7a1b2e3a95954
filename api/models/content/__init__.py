"""What payloads become for a model, and what its answers have to be.

Prompts, media, schemas and conversations. Knows of the actors, pydantic, the handoffs of patterns, and pydantic-ai
once it is imported. It keeps no state but what is built of a spec, beside that spec.
"""
