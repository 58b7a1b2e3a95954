"""The kinds of entries in a batch. A *pid* is a number of the receiver's node unless it says otherwise."""

from __future__ import annotations

from typing import Final

TELL: Final = 0
"""(pid, label, message): label is what the actor is called, for a dead letter."""
ASK: Final = 1
"""(pid, number, message, step): *step*: its asker wants to hear when it is taken up; answered by ANSWER, FAILURE or DIED with the same number."""
ANSWER: Final = 2
"""(number, value)"""
FAILURE: Final = 3
"""(number, error)"""
DIED: Final = 4
"""(number, reason): the actor that was asked is dead, or died before it answered."""
WITHDRAW: Final = 5
"""(number, timeout): the asker waits no more, because of the error *timeout* or of nothing (None)."""
EXIT: Final = 6
"""(pid, sender, reason): an exit signal; *sender* is a ref, or None."""
STOP: Final = 7
"""(pid,): stop after the messages that came before."""
LINK: Final = 8
"""(pid, sender): the actor of the ref *sender* has linked itself with *pid*."""
UNLINK: Final = 9
"""(pid, sender)"""
WATCH: Final = 10
"""(pid,): tell the sender's node when it ends."""
ENDED: Final = 11
"""(pid, reason): the sender's actor *pid* has ended."""
SPAWN: Final = 12
"""(number, birth): start an actor; answered by SPAWNED, or by FAILURE."""
SPAWNED: Final = 13
"""(number, pid): pid is the sender's."""
UNSPAWN: Final = 14
"""(number,): the actor of that SPAWN is not waited for any more: it is to end."""
NODE_UP: Final = 15
"""(id, name, labels): of the head."""
NODE_DOWN: Final = 16
"""(id,): of the head."""
RENEW: Final = 17
"""(when,): to the head; *when* by the sender's clock."""
GRANT: Final = 18
"""(when,): the head's answer."""
WELCOME: Final = 19
"""(pid, lease_s): the first entry of the head to a new node; pid is that of its name server."""

END: Final = 20
"""(pid, reason): end as if the parent had said so."""
TAKEN: Final = 21
"""(number,): the work that was asked for under that number has begun."""
NOTE: Final = 22
"""(number, word, error): what handles the request *number* has something to say to its asker, before the answer."""
REMARK: Final = 23
"""(number, word, error): the asker of *number* has something to say to what handles it."""

__all__ = [
    "ANSWER",
    "ASK",
    "DIED",
    "END",
    "ENDED",
    "EXIT",
    "FAILURE",
    "GRANT",
    "LINK",
    "NODE_DOWN",
    "NODE_UP",
    "NOTE",
    "REMARK",
    "RENEW",
    "SPAWN",
    "SPAWNED",
    "STOP",
    "TAKEN",
    "TELL",
    "UNLINK",
    "UNSPAWN",
    "WATCH",
    "WELCOME",
    "WITHDRAW",
]
