"""How messages travel: pickled, with the refs in them as numbers of nodes and actors.

Plain values (texts, numbers, None) go as they are. Functions and classes go by their import name, so
that a node runs its own copy of the code; *by_value*, cloudpickle's class of picklers, sends those that
have none.
A ref becomes what names the actor in the whole cluster; on the other side it is that actor's ref, or
one that stands for it.
"""

from __future__ import annotations

import pickle
from collections import ChainMap
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from io import BytesIO
from typing import Any, Final, Protocol

from ..dispatch.process_child import RemoteError
from ..kernel.carried import unwrap_carried
from ..looks import is_a, text_of
from ..ref import ActorRef
from .errors import CannotTravel

PLAIN: Final = frozenset({str, int, float, bool, type(None)})
"""Values of exactly these types need no pickle. Not bytes: they are what a pickle is."""

MOST_CAUSES: Final = 8


class Refs(Protocol):
    """What the codec asks about refs: a `ClusterNode`."""

    def name_of(self, ref: Any, to: str, /) -> tuple[str, int, str | None]:
        """Return node, number and label of the actor of *ref*, for the node *to*, which will watch it."""
        ...

    def ref_of(self, node: str, pid: int, label: str | None, /) -> Any:
        """Return the ref of that actor on this node."""
        ...


_reading: ContextVar[Refs | None] = ContextVar("agenticaiframework_cluster_refs", default=None)


def _ref_here(node: str, pid: int, label: str | None) -> Any:
    """Return the ref that was pickled as these; called by pickle."""
    refs = _reading.get()
    if refs is None:
        raise CannotTravel("A ref", "it was read outside of a cluster's node")
    return refs.ref_of(node, pid, label)


class Codec:
    """Writes and reads what goes to one peer. On the loop's thread."""

    def __init__(self, refs: Refs, peer: str, by_value: Any = None) -> None:
        self._refs = refs
        self._peer = peer
        self._by_value = by_value
        self._table: dict[Any, Callable[[Any], Any]] = {ActorRef: self._reduce_ref}

    def _reduce_ref(self, ref: Any) -> tuple[Any, ...]:
        return _ref_here, self._refs.name_of(ref, self._peer)

    def encode(self, what: str, value: Any, *about: object) -> Any:
        """Return *value* as it travels. Raises `CannotTravel`, which calls it *what*, of *about*."""
        if type(value) in PLAIN:
            return value
        value = unwrap_carried(value)
        try:
            return self._pickled(value)
        except CannotTravel:
            raise
        except Exception as error:
            raise CannotTravel(what.format(*about), text_of(error)) from error

    def _pickled(self, value: Any) -> bytes:
        buffer = BytesIO()
        kind = self._by_value
        pickler: Any
        if kind is not None:
            pickler = kind(buffer, protocol=5)
            pickler.dispatch_table = ChainMap(self._table, kind.dispatch_table)
        else:
            pickler = pickle.Pickler(buffer, protocol=5)
            pickler.dispatch_table = self._table
        pickler.dump(value)
        return buffer.getvalue()

    def decode(self, data: Any) -> Any:
        """Return the value that *data* stands for. Raises what unpickling raises."""
        if type(data) is not bytes:
            return data
        token = _reading.set(self._refs)
        try:
            return pickle.loads(data)
        finally:
            _reading.reset(token)

    def encode_reason(self, reason: Any) -> Any:
        """Return an exit reason, or an error, as it travels; what cannot be pickled as what stands for it."""
        if type(reason) in PLAIN:
            return reason
        if is_a(reason, BaseException):
            return self.encode("An error", Caused([*self._causes(reason)]))
        try:
            return self.encode("An exit reason", reason)
        except CannotTravel:
            return text_of(reason)

    def _causes(self, error: BaseException) -> Iterator[BaseException]:
        """Yield *error* and its causes, each as itself or as what stands for it."""
        cause: BaseException | None = error
        for _ in range(MOST_CAUSES):
            if cause is None:
                break
            yield cause if self._survives(cause) else RemoteError.of(cause)
            cause = cause.__cause__

    def _survives(self, error: BaseException) -> bool:
        """Tell whether *error* can be read again: many classes cannot be made of their own arguments."""
        token = _reading.set(_NoRefs())
        try:
            return type(pickle.loads(self._pickled(error))) is type(error)
        except Exception:
            return False
        finally:
            _reading.reset(token)

    def decode_reason(self, data: Any) -> Any:
        """Return what `encode_reason` was given."""
        try:
            read = self.decode(data)
        except Exception as error:
            return error
        return read.restored() if type(read) is Caused else read


class _NoRefs:
    """Reads refs as nothing: for a trial."""

    def name_of(self, ref: Any, to: str, /) -> tuple[str, int, str | None]:
        raise NotImplementedError

    def ref_of(self, node: str, pid: int, label: str | None, /) -> Any:
        return None


class Caused:
    """An exception with its causes, which pickle leaves out."""

    def __init__(self, errors: list[BaseException]) -> None:
        self.errors = errors

    def restored(self) -> BaseException:
        """Return the exception, with its causes."""
        for error, cause in zip(self.errors, self.errors[1:], strict=False):
            error.__cause__ = cause
        return self.errors[0]


def check_importable(what: str, thing: Any) -> None:
    """Raise `CannotTravel` unless another node can find the function or class *thing* by its name."""
    module = getattr(thing, "__module__", None)
    name = getattr(thing, "__qualname__", None)
    if module == "__main__":
        raise CannotTravel(
            what, "it stands in the program's main module, which others do not import"
        )
    if isinstance(name, str) and ("<locals>" in name or "<lambda>" in name):
        raise CannotTravel(what, f"{name} is a closure or lambda, which has no name to import")


__all__ = ["Codec", "Refs", "check_importable"]
