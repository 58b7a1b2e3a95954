"""Registries held against Elixir's Registry: each check says in words what Elixir does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from agenticaiframework.actors import (
    Actor,
    ActorDied,
    ActorRef,
    ActorSystem,
    KeyRegistered,
    KeyUnregistered,
    NameTaken,
    NotRegistered,
    Registry,
    RegistryEntry,
    WrongUse,
)

Run = Callable[..., Any]
KINDS = ("unique", "duplicate")


class Member(Actor):
    """Calls what it is sent if that is a function, and keeps everything else."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.got.append(message)
        return message


def got(member: Member) -> list[Any]:
    return list(member.got)


# -- both kinds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", KINDS)
def test_an_actor_registers_itself_and_is_found(in_sim: Run, keys: Any, dispatcher: str) -> None:
    """Elixir: register(registry, key, value) enters self(); lookup gives [{pid, value}]."""

    class Here(Member):
        pass

    Here.dispatcher = dispatcher  # type: ignore[misc]

    async def main(system: ActorSystem) -> None:
        registry = Registry("r", keys)
        ref = system.start(Here)
        assert registry.lookup("hello") == []
        assert "hello" not in registry
        assert await ref.request(lambda _me: registry.register("hello", "world")) is ref
        assert await ref.request(lambda _me: registry.keys()) == ["hello"]
        assert await ref.request(lambda _me: registry.values("hello")) == ["world"]
        assert registry.lookup("hello") == [(ref, "world")]
        assert "hello" in registry
        assert len(registry) == registry.count() == 1
        await ref.request(lambda _me: registry.unregister("hello"))
        assert registry.lookup("hello") == []
        assert await ref.request(lambda _me: registry.keys()) == []
        assert len(registry) == 0

    in_sim(main)


@pytest.mark.parametrize("keys", KINDS)
@pytest.mark.parametrize(
    "key",
    [1, 1.5, None, "x", b"x", ("tenant", 7), frozenset({1, 2}), Member, object(), ("", ())],
    ids=lambda key: type(key).__name__,
)
def test_keys_are_of_any_hashable_kind_and_values_of_any(in_sim: Run, keys: Any, key: Any) -> None:
    """Elixir: any term may be a key, and any a value."""

    async def main(system: ActorSystem) -> None:
        registry = Registry("r", keys)
        ref = system.start(Member)
        value = {"unhashable": [1]}
        registry.register(key, value, ref)
        assert registry.lookup(key) == [(ref, value)]
        with pytest.raises(TypeError, match="unhashable"):
            registry.register([1], ref=ref)
        assert registry.keys(ref) == [key]

    in_sim(main)


@pytest.mark.parametrize("keys", KINDS)
@pytest.mark.parametrize("end", ["kill", "crash", "stop"])
def test_entries_go_with_their_actor(in_sim: Run, keys: Any, end: str) -> None:
    """Elixir: entries are removed when the process ends."""

    async def main(system: ActorSystem) -> None:
        first, second = Registry("1", keys), Registry("2", keys)
        ref, other = system.start(Member), system.start(Member)
        for registry in (first, second):
            registry.register("mine", 1, ref)
            registry.register("other", 2, other)
        if end == "kill":
            ref.kill()
        elif end == "stop":
            ref.stop(block=False)
        else:
            ref.exit(ValueError("boom"))
        await system.wait_ended(ref)
        for registry in (first, second):
            assert registry.select() == [RegistryEntry("other", other, 2)]
            assert registry.keys(ref) == []
            with pytest.raises(ActorDied):
                registry.register("mine", ref=ref)
        assert registry.register("mine", ref=other) is other

    in_sim(main)


def test_an_actor_that_is_ending_is_not_entered_any_more(in_sim: Run) -> None:
    registry = Registry()
    said: list[Any] = []

    class Late(Member):
        def on_stop(self) -> None:
            try:
                registry.register("late")
            except ActorDied as died:
                said.append(died)

    async def main(system: ActorSystem) -> None:
        ref = system.start(Late)
        ref.exit("over")
        await system.wait_ended(ref)
        assert len(said) == 1
        assert len(registry) == 0

    in_sim(main)


def test_outside_of_actors_it_has_to_be_told_which_is_meant(in_sim: Run) -> None:
    async def main(system: ActorSystem) -> None:
        registry = Registry()
        ways: list[Callable[[], Any]] = [
            lambda: registry.register("x"),
            lambda: registry.unregister("x"),
            lambda: registry.keys(),
            lambda: registry.values("x"),
        ]
        for way in ways:
            with pytest.raises(WrongUse, match="ref=ref"):
                way()
        with pytest.raises(WrongUse, match="not 'x'"):
            registry.register("x", ref="x")  # type: ignore[arg-type]

    in_sim(main)


def test_the_kind_of_keys_is_one_of_two() -> None:
    with pytest.raises(WrongUse, match="neither 'unique' nor 'duplicate'"):
        Registry("r", "many")  # type: ignore[arg-type]


@pytest.mark.parametrize("keys", KINDS)
def test_select_match_and_count_take_conditions(in_sim: Run, keys: Any) -> None:
    """Elixir: select with match specs, match and count_match with patterns and guards."""

    async def main(system: ActorSystem) -> None:
        registry = Registry("r", keys)
        refs = [system.start(Member) for _ in range(4)]
        for number, ref in enumerate(refs):
            registry.register(("user", number), number * 10, ref)
        assert registry.select() == [RegistryEntry(("user", n), refs[n], n * 10) for n in range(4)]
        assert [e.ref for e in registry.select(lambda e: e.value >= 20)] == refs[2:]
        assert [e.key for e in registry if e.ref is refs[1]] == [("user", 1)]
        assert registry.count(lambda e: e.key[1] % 2 == 0) == 2
        assert registry.match(("user", 3), lambda value: value > 5) == [(refs[3], 30)]
        assert registry.match(("user", 3), lambda value: value < 5) == []

    in_sim(main)


@pytest.mark.parametrize("keys", KINDS)
def test_listeners_are_told_of_each_entry_that_comes_or_goes(in_sim: Run, keys: Any) -> None:
    """Elixir: {:register, registry, key, pid, value} and {:unregister, registry, key, pid}.

    Elixir leaves it to the listener to monitor the process; ours is told of the end too.
    """

    async def main(system: ActorSystem) -> None:
        by_ref, by_name = system.start(Member), system.start(Member, _name="watcher")
        registry = Registry("r", keys, listeners=[by_ref, "watcher", "nobody"])
        ref = system.start(Member)
        registry.register("a", 1, ref)
        registry.register("b", 2, ref)
        registry.unregister("a", ref)
        registry.unregister("a", ref)
        registry.unregister("never", ref)
        ref.exit("gone")
        await system.wait_ended(ref)
        for listener in (by_ref, by_name):
            assert await listener.request(got) == [
                KeyRegistered("r", "a", ref, 1),
                KeyRegistered("r", "b", ref, 2),
                KeyUnregistered("r", "a", ref),
                KeyUnregistered("r", "b", ref, "gone"),
            ]
        by_ref.kill()
        await system.wait_ended(by_ref)
        registry.register("c", ref=by_name)
        assert (await by_name.request(got))[-1] == KeyRegistered("r", "c", by_name, None)

    in_sim(main)


# -- unique ----------------------------------------------------------------------------------------


def test_a_unique_key_has_one_actor(in_sim: Run) -> None:
    """Elixir: {:error, {:already_registered, pid}}, also for the process itself."""

    async def main(system: ActorSystem) -> None:
        registry = Registry()
        first, second = system.start(Member), system.start(Member)
        registry.register("x", 1, first)
        for ref in (first, second):
            with pytest.raises(NameTaken) as taken:
                registry.register("x", 2, ref)
            assert taken.value.ref is first
            assert taken.value.name == "x"
        assert registry.lookup("x") == [(first, 1)]
        assert registry.keys(second) == []
        registry.unregister("x", second)
        assert registry.whereis("x") is first
        registry.unregister("x", first)
        registry.register("x", 2, second)
        assert registry.whereis("x") is second
        assert registry.whereis("y") is None

    in_sim(main)


def test_a_start_can_fail_with_the_one_that_has_the_key(in_sim: Run) -> None:
    """Elixir: start_link(name: {:via, Registry, {r, key}}) is {:error, {:already_started, pid}}."""
    from agenticaiframework.actors import StartFailed

    registry = Registry()

    class Session(Member):
        def on_start(self) -> None:
            registry.register("session")

    class Starter(Actor):
        async def on_receive(self, message: Any) -> Any:
            return await self.start_link(Session)

    async def main(system: ActorSystem) -> None:
        starter = system.start(Starter)
        first = await starter.request("go")
        with pytest.raises(StartFailed) as failed:
            await system.start(Starter).request("go")
        assert isinstance(failed.value.reason, NameTaken)
        assert failed.value.reason.ref is first
        assert registry.whereis("session") is first

    in_sim(main)


def test_a_value_is_updated_in_one_step(in_sim: Run) -> None:
    """Elixir: update_value gives {new, old}, and :error if the key is not registered."""

    async def main(system: ActorSystem) -> None:
        registry = Registry()
        ref = system.start(Member)
        registry.register("x", 1, ref)
        assert registry.update_value("x", lambda value: value + 1) == (2, 1)
        assert registry.lookup("x") == [(ref, 2)]
        with pytest.raises(NotRegistered, match="'y'"):
            registry.update_value("y", lambda value: value)
        with pytest.raises(ZeroDivisionError):
            registry.update_value("x", lambda value: value / 0)
        assert registry.lookup("x") == [(ref, 2)]

    in_sim(main)


def test_messages_are_sent_by_key(in_sim: Run) -> None:
    """Elixir: GenServer.call({:via, Registry, {registry, key}}, message)."""

    async def main(system: ActorSystem) -> None:
        registry = Registry("sessions")
        via = registry.via(("session", "ann"))
        assert via.ref is None
        with pytest.raises(ActorDied, match="sessions"):
            via.tell("too early")
        with pytest.raises(ActorDied, match="session"):
            await via.request("too early")
        for _ in range(2):
            ref = system.start(Member)
            registry.register(("session", "ann"), ref=ref)
            assert via.ref is ref
            assert await via.request("hello") == "hello"
            via.tell("you")
            assert await ref.request(got) == ["hello", "you"]
            ref.kill()
            await system.wait_ended(ref)
        assert registry.via("x") == registry.via("x") != registry.via("y")

    in_sim(main)


def test_a_via_can_be_asked_from_a_thread() -> None:
    with ActorSystem.in_background() as system:
        registry = Registry()
        ref = system.start(Member)
        registry.register("x", ref=ref)
        assert registry.via("x").ask("hello", timeout=10) == "hello"


# -- duplicate -------------------------------------------------------------------------------------


def test_a_duplicate_key_has_any_number_of_actors_and_of_entries(in_sim: Run) -> None:
    """Elixir: a process may register several times under a key, with different values."""

    async def main(system: ActorSystem) -> None:
        registry = Registry("topics", "duplicate")
        one, two = system.start(Member), system.start(Member)
        registry.register("news", 1, one)
        registry.register("news", 2, two)
        registry.register("news", 3, one)
        registry.register("sport", 4, two)
        assert registry.lookup("news") == [(one, 1), (one, 3), (two, 2)]
        assert registry.keys(one) == ["news", "news"]
        assert registry.keys(two) == ["news", "sport"]
        assert registry.values("news", one) == [1, 3]
        assert registry.count() == 4
        registry.unregister_match("news", lambda value: value == 1, one)
        assert registry.values("news", one) == [3]
        registry.unregister("news", one)
        assert registry.lookup("news") == [(two, 2)]
        registry.unregister_match("news", lambda value: value == 99, two)
        registry.unregister_match("news", lambda value: value == 2, two)
        assert "news" not in registry
        assert registry.keys(two) == ["sport"]

    in_sim(main)


def test_a_message_goes_to_each_actor_under_a_key_once(in_sim: Run) -> None:
    """Elixir: dispatch(registry, key, fn entries -> for {pid, _} <- entries, do: send(pid, m))."""

    async def main(system: ActorSystem) -> None:
        registry = Registry("topics", "duplicate")
        refs: list[ActorRef[Member]] = [system.start(Member) for _ in range(3)]
        for ref in refs[:2]:
            registry.register("news", 1, ref)
            registry.register("news", 2, ref)
        assert registry.tell("news", "hello") == 2
        assert registry.tell("none", "hello") == 0
        assert [await ref.request(got) for ref in refs] == [["hello"], ["hello"], []]

    in_sim(main)


def test_what_needs_one_actor_to_a_key_says_so(in_sim: Run) -> None:
    """Elixir: update_value and via raise ArgumentError on a :duplicate registry."""

    async def main(system: ActorSystem) -> None:
        registry = Registry("topics", "duplicate")
        ways: list[Callable[[], Any]] = [
            lambda: registry.via("x"),
            lambda: registry.whereis("x"),
            lambda: registry.update_value("x", str),
        ]
        for way in ways:
            with pytest.raises(WrongUse, match="duplicate"):
                way()

    in_sim(main)


# -- threads and systems ---------------------------------------------------------------------------


def test_a_registry_holds_actors_of_several_systems_and_is_used_from_threads() -> None:
    registry, topics = Registry(), Registry("topics", "duplicate")
    with ActorSystem.in_background() as one, ActorSystem.in_background() as two:
        won: list[Any] = []
        barrier = threading.Barrier(8)

        def work(number: int) -> None:
            ref = (one, two)[number % 2].start(Member)
            barrier.wait()
            for round_ in range(20):
                topics.register(round_, number, ref)
            try:
                registry.register("leader", number, ref)
            except NameTaken:
                return
            won.append(ref)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (leader,) = won
        assert registry.whereis("leader") is leader
        assert len(topics) == 160
        assert len(topics.lookup(7)) == 8
    assert len(topics) == len(registry) == 0
