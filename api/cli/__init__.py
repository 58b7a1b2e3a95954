"""The command line `agenticaiframework`: projects run and drawn, stored runs seen and steered.

Knows every layer by what it exports, and nothing imports it. Each command owns the state of its
run: the engine, the supervisors and the display that it starts and stops.
"""

from .main import main

__all__ = ["main"]
