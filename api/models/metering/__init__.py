"""What requests take: usage, the limits of a run, and spans.

Between pydantic-ai and the meters of the actors, and knows of both alone.
What is counted is owned by the meters of the actors.
"""
