"""Teams: roles, limits, assignment by hand and by capabilities."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenticaiframework.actors import Agent
from agenticaiframework.patterns import (
    AgentHandoff,
    AgentRole,
    AgentTeam,
    DefinitionError,
    TeamConfig,
    TeamError,
    TeamFull,
    UnknownMember,
)
from agenticaiframework.patterns.teams.matching import fit, match


def agent(name: str, *capabilities: str) -> Agent:
    return Agent(name, handler=lambda payload: payload, capabilities=capabilities)


def desk(**config: Any) -> AgentTeam:
    return AgentTeam(
        "desk",
        TeamConfig(**config),
        roles=[
            AgentRole(name="researcher", capabilities=["web", "files"], max_agents=2),
            AgentRole(name="writer", capabilities=["text"], max_agents=1),
        ],
    )


def test_roles_have_limits_and_an_agent_has_a_role_once() -> None:
    team = desk()
    ann, bob = agent("ann"), agent("bob")
    team.assign_agent(ann, role="writer")
    team.assign_agent(ann, role="writer")
    assert team.agents_in("writer") == [ann]
    with pytest.raises(TeamFull, match="'bob' cannot be a 'writer'.*max_agents"):
        team.assign_agent(bob, role="writer")
    team.unassign_agent(ann, "writer")
    team.assign_agent(bob, role="writer")
    assert team.agents_in("writer") == [bob]


def test_an_unknown_role_is_named_with_the_near_ones() -> None:
    with pytest.raises(UnknownMember, match=r"'writr'.*Did you mean 'writer'"):
        desk().assign_agent(agent("ann"), role="writr")
    with pytest.raises(UnknownMember):
        desk().agents_in("nobody")
    with pytest.raises(UnknownMember, match="'zed'"):
        desk().unassign_agent(agent("zed"))
    with pytest.raises(TeamError, match="a role 'writer' already"):
        desk().add_role(AgentRole(name="writer"))


def test_the_team_takes_no_more_members_than_it_may() -> None:
    team = desk(max_members=2)
    ann, bob, cid = agent("ann"), agent("bob"), agent("cid")
    team.assign_agent(ann, role="researcher")
    team.assign_agent(bob, role="researcher")
    # A second role makes nobody a second member.
    team.assign_agent(ann, role="writer")
    team.unassign_agent(ann, "writer")
    with pytest.raises(TeamFull, match="2 members already"):
        team.assign_agent(cid, role="writer")


def test_agents_are_matched_to_roles_whatever_their_order() -> None:
    agents = [
        agent("both", "web", "text"),
        agent("searcher", "web", "files"),
        agent("author", "text"),
        agent("cook", "cooking"),
    ]
    for seed in range(20):
        team = desk()
        shuffled = random.Random(seed).sample(agents, len(agents))
        left = team.auto_assign_agents(shuffled)
        # "both" could write, but then "author" could do nothing.
        assert {m.name: m.role for m in team.members} == {
            "both": "researcher",
            "searcher": "researcher",
            "author": "writer",
        }
        assert [a.name for a in left] == ["cook"]


def test_auto_assignment_is_idempotent_and_keeps_what_was_assigned_by_hand() -> None:
    team = desk()
    author = agent("author", "text")
    team.assign_agent(author, role="researcher")
    writer = agent("writer", "text")
    assert team.auto_assign_agents([author, writer]) == []
    before = team.members
    assert team.auto_assign_agents([writer, author]) == []
    assert team.members == before
    assert team.agents_in("researcher") == [author]


def test_auto_assignment_keeps_to_the_limits() -> None:
    team = desk(max_members=2)
    agents = [agent(f"a{n}", "web", "text") for n in range(5)]
    left = team.auto_assign_agents(agents)
    assert len(team.members) == 2
    assert [a.name for a in left] == ["a2", "a3", "a4"]


def test_a_role_without_capabilities_takes_those_that_fit_nowhere_better() -> None:
    team = AgentTeam("t", roles=[AgentRole(name="any"), AgentRole(name="text", capabilities=["t"])])
    assert team.auto_assign_agents([agent("x", "t"), agent("y"), agent("z", "u")]) == []
    assert {m.name: m.role for m in team.members} == {"x": "text", "y": "any", "z": "any"}


def test_placing_one_more_agent_is_worth_a_worse_fit() -> None:
    agents = {"able": ("a", "b", "c", "d"), "beginner": ("a",)}
    seats = {"expert": (("a", "b", "c", "d"), 1), "other": (("b", "x", "y", "z"), 1)}
    assert fit(agents["able"], seats["expert"][0]) == 1
    assert match(agents, seats) == {"able": "other", "beginner": "expert"}


names = st.integers(0, 6).map("a{}".format)
capabilities = st.lists(st.sampled_from("wxyz"), unique=True, max_size=4).map(tuple)


@given(
    st.dictionaries(names, capabilities, max_size=6),
    st.dictionaries(
        st.sampled_from(["r", "s", "t"]), st.tuples(capabilities, st.integers(0, 3)), max_size=3
    ),
    st.randoms(use_true_random=False),
)
def test_the_matching_is_maximal_deterministic_and_within_limits(
    agents: dict[str, tuple[str, ...]],
    seats: dict[str, tuple[tuple[str, ...], int]],
    rng: random.Random,
) -> None:
    chosen = match(agents, seats)
    for name, role in chosen.items():
        assert fit(agents[name], seats[role][0]) > 0
    for role, (_, places) in seats.items():
        assert sum(r == role for r in chosen.values()) <= places
    assert len(chosen) == largest(agents, seats)
    shuffled = dict(rng.sample(sorted(agents.items()), len(agents)))
    reordered = dict(rng.sample(sorted(seats.items()), len(seats)))
    assert match(shuffled, reordered) == chosen


def largest(agents: Any, seats: Any) -> int:
    """The size of a largest matching, found by the plain augmenting path method."""
    places = [role for role, (_, count) in seats.items() for _ in range(count)]
    taken: dict[int, str] = {}

    def place(name: str, seen: set[int]) -> bool:
        for index, role in enumerate(places):
            if index not in seen and fit(agents[name], seats[role][0]) > 0:
                seen.add(index)
                if index not in taken or place(taken[index], seen):
                    taken[index] = name
                    return True
        return False

    return sum(place(name, set()) for name in agents)


def test_handoff_rules_are_checked_when_they_are_configured() -> None:
    team = desk()
    with pytest.raises(UnknownMember, match="'editor'"):
        team.configure_handoffs([AgentHandoff(from_role="writer", to_role="editor", trigger="t")])
    rule = AgentHandoff(from_role="writer", to_role="researcher", trigger="t")
    with pytest.raises(TeamError, match="only one of them could ever fire"):
        team.configure_handoffs([rule, rule])
    team.configure_handoffs([rule])
    assert team.handoffs == (rule,)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: AgentRole(name=""), "AgentRole: name"),
        (lambda: AgentRole(name="x", max_agnts=1), "Did you mean 'max_agents'"),
        (lambda: AgentRole(name="x", capabilities="web"), r"a list of capabilities.*\['web'\]"),
        (lambda: TeamConfig(decision_making="voting"), "decision_making"),
        (lambda: TeamConfig(decision_making="moderator"), 'moderator="editor"'),
        (lambda: AgentTeam("t", {"max_member": 3}), "Did you mean 'max_members'"),
        (lambda: AgentHandoff(from_role="a", trigger="b"), "to_role: is missing"),
    ],
)
def test_wrong_definitions_are_refused_when_they_are_made(make: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        make()


def test_a_team_is_data_and_a_picture() -> None:
    team = desk(max_members=3, retry=2)
    team.assign_agent("ann", role="researcher")
    team.assign_agent("bob", role="writer")
    team.configure_handoffs(
        [AgentHandoff(from_role="researcher", to_role="writer", trigger="done")]
    )
    data = team.to_dict()
    assert data == {
        "name": "desk",
        "config": {"retry": {"attempts": 2}, "max_members": 3},
        "roles": [
            {"name": "researcher", "capabilities": ["web", "files"], "max_agents": 2},
            {"name": "writer", "capabilities": ["text"], "max_agents": 1},
        ],
        "members": {"researcher": ["ann"], "writer": ["bob"]},
        "handoffs": [{"from_role": "researcher", "to_role": "writer", "trigger": "done"}],
    }
    again = AgentTeam.from_dict(data)
    assert again.to_dict() == data
    picture = team.mermaid()
    assert 'subgraph g1["researcher"]' in picture
    assert '-->|"done"|' in picture
    with pytest.raises(DefinitionError, match="Did you mean 'members'"):
        AgentTeam.from_dict({"name": "x", "member": {}})
    rule = AgentHandoff(from_role="writer", to_role="writer", trigger="t", data_transform=str)
    team.configure_handoffs([rule])
    with pytest.raises(DefinitionError, match="cannot be written as data"):
        team.to_dict()


def test_two_agents_of_one_name_are_refused_and_none_is_lost() -> None:
    team = desk()
    first, second = agent("ann", "web"), agent("ann", "text")
    with pytest.raises(TeamError, match="two different agents are called 'ann'"):
        team.auto_assign_agents([first, second])
    assert team.members == ()
    team.assign_agent(first, role="researcher")
    for again in (
        lambda: team.assign_agent(second, role="researcher"),
        lambda: team.assign_agent(second, role="writer"),
        lambda: team.auto_assign_agents([second]),
    ):
        with pytest.raises(TeamError, match="Give one of them another name"):
            again()
    team.assign_agent("ann", role="writer")
    assert [member.role for member in team.members] == ["researcher", "writer"]


def test_roles_and_handoffs_may_be_given_as_mappings() -> None:
    team = AgentTeam("desk", roles=[{"name": "researcher"}])
    team.add_role({"name": "writer", "max_agents": 1})
    team.configure_handoffs([{"from_role": "researcher", "to_role": "writer", "trigger": "done"}])
    assert team.roles["writer"].max_agents == 1
    assert team.handoffs == (
        AgentHandoff(from_role="researcher", to_role="writer", trigger="done"),
    )


async def transform_later(data: Any) -> Any:
    return data


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda team: team.add_role("writer"), "a mapping or AgentRole"),
        (lambda team: team.add_role({"nam": "writer"}), "unknown field 'nam'.*'name'"),
        (lambda team: team.assign_agent(None, role="writer"), "None cannot be asked"),
        (lambda team: team.auto_assign_agents(agent("ann")), "a list of agents is needed"),
        (lambda team: team.configure_handoffs([{"from_role": "writer"}]), "to_role: is missing"),
        (lambda team: team.enable_communication(""), "a channel's name is a non-empty text"),
        (
            lambda team: AgentHandoff(
                from_role="a", to_role="b", trigger="t", data_transform=transform_later
            ),
            "this one is async",
        ),
    ],
)
def test_what_is_given_to_a_team_is_checked_when_it_is_given(wrong: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        wrong(desk())


def test_a_team_is_no_member_of_itself() -> None:
    team = desk()
    with pytest.raises(TeamError, match="cannot be a member of itself"):
        team.assign_agent(team, role="writer")


def test_an_agent_and_a_role_the_other_way_round_are_told_so() -> None:
    with pytest.raises(TeamError, match="after the agent"):
        desk().assign_agent("writer", agent("ann"))  # type: ignore[arg-type]
