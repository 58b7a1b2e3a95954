"""The machine: how messages arrive, handlers run, and actors start, fail, end and hear of each other.

It knows the vocabulary (`errors`, `reasons`, `messages`) and pykka, and nothing of refs, systems,
dispatchers and agents: a `Host` says what it wants of a system, and what it runs is an `ActorBase`.
All state is a `Cell`'s, one for each actor, and a `Home`'s, one for each loop; both are owned by that
loop's thread. The underscored slots of a cell are shared by the files of this package and by nothing
else; the functions without an underscore are what the packages above use.
"""
