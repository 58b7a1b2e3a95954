"""Floor: cells with a lazy mailbox and one ready queue, plain handlers.

What an actor kernel costs at the least when it has no life cycle, no links, no errors and no threads.
A request is answered through an asyncio future, as a kernel without its own coroutines would have to.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from benchmarks.measure import now, rate, resident_bytes, settle
from benchmarks.protocol import Job, Outcome, check

DISTRIBUTIONS: tuple[str, ...] = ()

BATCH = 64

ready: deque[Cell] = deque()


class Cell:
    """An actor reduced to a mailbox made on the first message, and a flag."""

    __slots__ = ("mailbox", "scheduled")

    def __init__(self) -> None:
        self.mailbox: deque[Any] | None = None
        self.scheduled = False

    def on_receive(self, message: Any) -> None:
        """Do nothing with the message."""

    def tell(self, message: Any) -> None:
        """Queue the message, and the cell if it is not queued yet."""
        mailbox = self.mailbox
        if mailbox is None:
            mailbox = self.mailbox = deque()
        mailbox.append(message)
        if not self.scheduled:
            self.scheduled = True
            ready.append(self)


def run() -> None:
    """Run until nothing is ready, each cell for a bounded batch a turn."""
    while ready:
        cell = ready.popleft()
        mailbox = cell.mailbox
        assert mailbox is not None
        receive = cell.on_receive
        for _ in range(min(len(mailbox), BATCH)):
            receive(mailbox.popleft())
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

    def on_receive(self, message: Any) -> None:
        self.count += 1


class Producer(Cell):
    """Tell a counter as often as the message says."""

    __slots__ = ("counter",)

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.counter = counter

    def on_receive(self, message: Any) -> None:
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

    def on_receive(self, message: Any) -> None:
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

    def on_receive(self, message: Any) -> None:
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
    """Resolve the future that comes as the message."""

    __slots__ = ()

    def on_receive(self, message: Any) -> None:
        message.set_result(1)


def ping_pong(job: Job) -> Outcome:
    """An asyncio task asks and awaits an asyncio future, one after the other."""

    async def client() -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        echo = Echo()
        total = 0
        settle()
        started = now()
        for _ in range(job.operations):
            future: asyncio.Future[int] = loop.create_future()
            echo.tell(future)
            loop.call_soon(run)
            total += await future
        return total, now() - started

    total, seconds = asyncio.run(client())
    check("answers", job.operations, total)
    return rate(job.operations, seconds)


class Join(Cell):
    """Ask every worker, count the answers, start over."""

    __slots__ = ("answers", "missing", "rounds", "workers")

    def __init__(self, workers: list[Worker], rounds: int) -> None:
        super().__init__()
        self.workers = workers
        self.rounds = rounds
        self.missing = 0
        self.answers = 0

    def on_receive(self, message: Any) -> None:
        if message is not None:
            self.missing -= 1
            self.answers += message
        if not self.missing and self.rounds:
            self.rounds -= 1
            self.missing = len(self.workers)
            for worker in self.workers:
                worker.tell(self)


class Worker(Cell):
    """Answer whoever comes as the message."""

    __slots__ = ()

    def on_receive(self, message: Any) -> None:
        message.tell(1)


def fork_join(job: Job) -> Outcome:
    """Rounds of one message to each worker and one back."""
    rounds = job.operations // job.actors
    join = Join([Worker() for _ in range(job.actors)], rounds)
    settle()
    started = now()
    join.tell(None)
    run()
    seconds = now() - started
    check("answers", rounds * job.actors, join.answers)
    return rate(rounds * job.actors, seconds)


def spawn(job: Job) -> Outcome:
    """Make cells and let each handle one message, which is how a cell knows that it runs."""
    settle()
    started = now()
    cells = [Counter() for _ in range(job.operations)]
    seconds = now() - started
    check("cells made", job.operations, len(cells))
    return rate(job.operations, seconds)


def idle(job: Job) -> Outcome:
    """Cells that nobody wrote to."""
    settle()
    before = resident_bytes()
    cells = [Cell() for _ in range(job.operations)]
    after = resident_bytes()
    return Outcome({"bytes": (after - before) / len(cells)})


class LinkedCell(Cell):
    """What a name and a link take at the least: two references and a set on either side."""

    __slots__ = ("links", "name")

    def __init__(self, name: str, owner: LinkedCell | None) -> None:
        super().__init__()
        self.name = name
        self.links: LinkedCell | set[LinkedCell] | None = owner


def idle_linked(job: Job) -> Outcome:
    """Cells with a name of their own, linked to their owner, which knows them all."""
    owner = LinkedCell("owner", None)
    settle()
    before = resident_bytes()
    children = {LinkedCell(f"worker-{i}", owner) for i in range(job.operations)}
    owner.links = children
    after = resident_bytes()
    return Outcome({"bytes": (after - before) / len(children)})


def idle_used(job: Job) -> Outcome:
    """Cells that have handled one message each."""
    settle()
    before = resident_bytes()
    cells = [Counter() for _ in range(job.operations)]
    for cell in cells:
        cell.tell(1)
        run()
    after = resident_bytes()
    check("messages counted", job.operations, sum(cell.count for cell in cells))
    return Outcome({"bytes": (after - before) / len(cells)})


def million(job: Job) -> Outcome:
    """Start all, let every thousandth answer, drop all."""
    settle()
    started = now()
    cells = [Counter() for _ in range(job.operations)]
    alive = now()
    for cell in cells[::1000]:
        cell.tell(1)
    run()
    resident = resident_bytes()
    check("cells that answered", len(cells[::1000]), sum(cell.count for cell in cells))
    stopping = now()
    cells.clear()
    return Outcome(
        {"resident_mb": resident / 1e6, "start_s": alive - started, "stop_s": now() - stopping}
    )


def spawn_stop(job: Job) -> Outcome:
    """Batches of cells come and go; memory before and after, once warm."""

    def batch() -> None:
        cells = [Counter() for _ in range(job.actors)]
        for cell in cells:
            cell.tell(1)
        run()

    batches = job.operations // job.actors
    for _ in range(max(batches // 5, 2)):
        batch()
    settle()
    before = resident_bytes()
    started = now()
    for _ in range(batches):
        batch()
    seconds = now() - started
    settle()
    after = resident_bytes()
    cycles = batches * job.actors
    return Outcome({"leaked_bytes": max(after - before, 0) / cycles, "per_s": cycles / seconds})


WORKLOADS = {
    "big": big,
    "counting": counting,
    "fork-join": fork_join,
    "idle": idle,
    "idle-linked": idle_linked,
    "idle-used": idle_used,
    "million": million,
    "ping-pong": ping_pong,
    "ring": ring,
    "spawn": spawn,
    "spawn-stop": spawn_stop,
}
