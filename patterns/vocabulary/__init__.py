"""The vocabulary of orchestration: targets that can be asked, outcomes, events and errors.

Values and errors, and the Protocols for what is asked. Knows `agenticaiframework.actors` alone.
All of it is immutable; nothing here owns state.
"""
