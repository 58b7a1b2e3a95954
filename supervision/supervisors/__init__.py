"""The public supervisor classes: objects with named children, made anywhere and started later.

Knows the machine below, which runs them. A handle of a child reads the machine's record of it and
keeps no state of its own but the waits for it; the object that was made owns the names.
"""
