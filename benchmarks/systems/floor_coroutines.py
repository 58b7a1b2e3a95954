"""Floor: the same ready queue, but it drives coroutines: an async handler parks on a reply and goes on later.

No asyncio is involved, so nothing of asyncio works inside a handler: that is what a kernel must add.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Generator
from typing import Any

from benchmarks.measure import now, rate, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS: tuple[str, ...] = ()

BATCH = 64

ready: deque[Cell] = deque()


class Reply:
    """An answer to come, awaited by one cell."""

    __slots__ = ("asker", "done", "value")

    def __init__(self) -> None:
        self.asker: Cell | None = None
        self.done = False
        self.value: Any = None

    def set(self, value: Any) -> None:
        """Give the answer and wake the cell that waits."""
        self.value = value
        self.done = True
        asker = self.asker
        if asker is not None:
            ready.append(asker)

    def __await__(self) -> Generator[Reply, None, Any]:
        if not self.done:
            yield self
        return self.value


class Cell:
    """A mailbox and the coroutine of the message in hand."""

    __slots__ = ("coroutine", "mailbox", "scheduled")

    def __init__(self) -> None:
        self.mailbox: deque[Any] | None = None
        self.scheduled = False
        self.coroutine: Coroutine[Any, Any, None] | None = None

    async def on_receive(self, message: Any) -> None:
        """Do nothing with the message."""

    def tell(self, message: Any) -> None:
        """Queue the message, and the cell if it is idle."""
        mailbox = self.mailbox
        if mailbox is None:
            mailbox = self.mailbox = deque()
        mailbox.append(message)
        if not self.scheduled:
            self.scheduled = True
            ready.append(self)


def run() -> None:
    """Run until nothing is ready; a parked cell stays out until its reply comes."""
    while ready:
        cell = ready.popleft()
        coroutine = cell.coroutine
        if coroutine is not None:
            try:
                reply = coroutine.send(None)
            except StopIteration:
                cell.coroutine = None
            else:
                reply.asker = cell
                continue
        mailbox = cell.mailbox
        assert mailbox is not None
        receive = cell.on_receive
        for _ in range(min(len(mailbox), BATCH)):
            coroutine = receive(mailbox.popleft())
            try:
                reply = coroutine.send(None)
            except StopIteration:
                continue
            reply.asker = cell
            cell.coroutine = coroutine
            break
        else:
            if mailbox:
                ready.append(cell)
            else:
                cell.scheduled = False


class Counter(Cell):
    """Count messages."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    async def on_receive(self, message: Any) -> None:
        self.count += 1


class Producer(Cell):
    """Tell a counter as often as the message says."""

    __slots__ = ("counter",)

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.counter = counter

    async def on_receive(self, message: Any) -> None:
        tell = self.counter.tell
        for _ in range(message):
            tell("one")


def counting(job: Job) -> Outcome:
    """One producer, one counter."""
    counter = Counter()
    producer = Producer(counter)
    settle()
    started = now()
    producer.tell(job.operations)
    run()
    seconds = now() - started
    check("messages counted", job.operations, counter.count)
    return rate(job.operations, seconds)


class Node(Cell):
    """Hand a counted-down token to the next one."""

    __slots__ = ("done", "next")

    def __init__(self) -> None:
        super().__init__()
        self.next: Node | None = None
        self.done = False

    async def on_receive(self, message: Any) -> None:
        if message:
            assert self.next is not None
            self.next.tell(message - 1)
        else:
            self.done = True


def ring(job: Job) -> Outcome:
    """A token goes round until it is counted down."""
    nodes = [Node() for _ in range(job.actors)]
    for node, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
        node.next = following
    settle()
    started = now()
    nodes[0].tell(job.operations)
    run()
    seconds = now() - started
    check("nodes that saw the end", 1, sum(node.done for node in nodes))
    return rate(job.operations, seconds)


class Peer(Cell):
    """Ping one neighbour after the other, answer pings."""

    __slots__ = ("left", "peers", "turn")

    def __init__(self, turn: int, pings: int) -> None:
        super().__init__()
        self.turn = turn
        self.left = pings
        self.peers: list[Peer] = []

    async def on_receive(self, message: Any) -> None:
        if message is not None:
            message.tell(None)
        elif self.left:
            self.left -= 1
            self.turn = (self.turn + 17) % len(self.peers)
            self.peers[self.turn].tell(self)


def big(job: Job) -> Outcome:
    """Everybody pings everybody; a ping and its pong are two messages."""
    pings = job.operations // job.actors // 2
    peers = [Peer(i, pings) for i in range(job.actors)]
    for peer in peers:
        peer.peers = peers
    settle()
    started = now()
    for peer in peers:
        peer.tell(None)
    run()
    seconds = now() - started
    check("pings left", 0, sum(peer.left for peer in peers))
    return rate(pings * job.actors * 2, seconds)


class Echo(Cell):
    """Answer one."""

    __slots__ = ()

    async def on_receive(self, message: Any) -> None:
        message.set(1)


class Asker(Cell):
    """Ask as often as the message says, one after the other."""

    __slots__ = ("echo", "total")

    def __init__(self, echo: Echo) -> None:
        super().__init__()
        self.echo = echo
        self.total = 0

    async def on_receive(self, message: Any) -> None:
        for _ in range(message):
            reply = Reply()
            self.echo.tell(reply)
            self.total += await reply


def ping_pong(job: Job) -> Outcome:
    """One cell asks another."""
    asker = Asker(Echo())
    settle()
    started = now()
    asker.tell(job.operations)
    run()
    seconds = now() - started
    check("answers", job.operations, asker.total)
    return rate(job.operations, seconds)


class Join(Cell):
    """Ask every worker, await every reply, start over."""

    __slots__ = ("total", "workers")

    def __init__(self, workers: list[Echo]) -> None:
        super().__init__()
        self.workers = workers
        self.total = 0

    async def on_receive(self, message: Any) -> None:
        for _ in range(message):
            replies: list[Reply] = []
            for worker in self.workers:
                reply = Reply()
                worker.tell(reply)
                replies.append(reply)
            for reply in replies:
                self.total += await reply


def fork_join(job: Job) -> Outcome:
    """Rounds of one ask to each worker, awaited in order."""
    rounds = job.operations // job.actors
    join = Join([Echo() for _ in range(job.actors)])
    settle()
    started = now()
    join.tell(rounds)
    run()
    seconds = now() - started
    check("answers", rounds * job.actors, join.total)
    return rate(rounds * job.actors, seconds)


class Crashed(Exception):
    """What a child raises on purpose; it says which one."""

    def __init__(self, cell: Fragile) -> None:
        super().__init__()
        self.cell = cell


class Fragile(Cell):
    """Crash when told nothing, answer otherwise."""

    __slots__ = ("place",)

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    async def on_receive(self, message: Any) -> None:
        if message is None:
            raise Crashed(self)
        message.set(1)


class Nursery:
    """A supervisor without policy: on a crash, a new child takes the mailbox and the place of the old one."""

    def __init__(self, children: int) -> None:
        self.children = {place: Fragile(place) for place in range(children)}

    def tell(self, place: int, message: Any) -> None:
        """Tell the living incarnation."""
        self.children[place].tell(message)

    def run(self) -> None:
        """Run until nothing is ready, restarting what crashes."""
        while ready:
            try:
                run()
            except Crashed as crash:
                self.restart(crash.cell)

    def restart(self, crashed: Fragile) -> None:
        """Put a new incarnation in the place of the crashed one."""
        fresh = self.children[crashed.place] = Fragile(crashed.place)
        fresh.mailbox = crashed.mailbox
        if fresh.mailbox:
            fresh.scheduled = True
            ready.append(fresh)


def _crashes(nursery: Nursery, times: int) -> float:
    first = nursery.children[0]
    answered = 0
    settle()
    started = now()
    for _ in range(times):
        reply = Reply()
        nursery.tell(0, None)
        nursery.tell(0, reply)
        nursery.run()
        answered += reply.value
    seconds = now() - started
    check("answers after a crash", times, answered)
    check("the first incarnation is gone", True, nursery.children[0] is not first)
    return seconds


def crash_restart(job: Job) -> Outcome:
    """Crash, put a new cell in its place, answer."""
    return rate(job.operations, _crashes(Nursery(1), job.operations))


def tree(job: Job) -> Outcome:
    """Make all children, then drop them one by one in reverse."""
    settle()
    started = now()
    nursery = Nursery(job.operations)
    running = now()
    while nursery.children:
        nursery.children.popitem()
    stopped = now()
    return Outcome({"start_s": running - started, "stop_s": stopped - running})


def restart_among(job: Job) -> Outcome:
    """Children are found by their place, in a dictionary."""
    few = _crashes(Nursery(10), job.operations) / job.operations * 1e6
    many = _crashes(Nursery(job.actors), job.operations) / job.operations * 1e6
    return Outcome({"times": many / few, "few_us": few, "many_us": many})


WORKLOADS = {
    "big-async": big,
    "counting-async": counting,
    "crash-restart": crash_restart,
    "fork-join": fork_join,
    "fork-join-async": fork_join,
    "ping-pong": ping_pong,
    "restart-among": restart_among,
    "ring-async": ring,
    "tree": tree,
}
