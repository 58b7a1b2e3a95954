"""From the name of a model to its answers: clients, limits, retries, fallbacks, errors.

Knows of the actors, of metering, local and scripted models, and of pydantic-ai once a model is opened.
Connections and gates are owned by the `Clients` of a system.
"""
