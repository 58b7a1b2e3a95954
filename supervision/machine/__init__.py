"""OTP's supervisor: the actor that starts, watches, stops and restarts children, and what it answers.

Knows the vocabulary and the policies, and of named children only the protocol `ChildHandle`.
All state, the record of each child included, is owned by the one `Supervisor` whose it is.
"""
