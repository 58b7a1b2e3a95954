"""The words of all orchestration: who can be asked, how work ends, what happens while it runs.

Values and errors, and the Protocols for what is asked. Knows `agenticaiframework.actors` alone.
All of it is immutable; nothing here owns state.
"""
