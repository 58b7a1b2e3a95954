"""When schedules are due: the moments of cron in a time zone, and of intervals."""

from __future__ import annotations

import builtins
import sys
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agenticaiframework.actors import MissingExtra
from agenticaiframework.patterns import DefinitionError
from agenticaiframework.patterns.engine import ScheduleDefinition
from agenticaiframework.patterns.engine.definition.timing import MOST, Timing

CronSim: Any = pytest.importorskip("cronsim", reason="the extra schedules is not installed").CronSim

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    """Return a moment of Berlin; with an offset, that one."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=BERLIN)).timestamp()


def following(cron: str, after: str, count: int) -> list[str]:
    """Return the moments that follow, one asked after the other, in Berlin."""
    timing = Timing(cron, timezone="Europe/Berlin")
    found: list[str] = []
    moment: float | None = at(after)
    for _ in range(count):
        assert moment is not None
        moment = timing.after(moment)
        assert moment is not None
        found.append(datetime.fromtimestamp(moment, BERLIN).isoformat())
    return found


def test_a_time_of_day_that_spring_skips_comes_as_the_clock_is_changed() -> None:
    assert following("30 2 * * *", "2027-03-27T00:00", 3) == [
        "2027-03-27T02:30:00+01:00",
        "2027-03-28T03:00:00+02:00",
        "2027-03-29T02:30:00+02:00",
    ]


def test_a_time_of_day_that_autumn_has_twice_comes_once() -> None:
    assert following("30 2 * * *", "2027-10-30T12:00", 2) == [
        "2027-10-31T02:30:00+02:00",
        "2027-11-01T02:30:00+01:00",
    ]


@pytest.mark.parametrize("between", ["2027-10-31T02:45:00+02:00", "2027-10-31T02:15:00+01:00"])
def test_it_comes_once_also_for_an_engine_that_is_begun_between_the_two(between: str) -> None:
    assert following("30 2 * * *", between, 1) == ["2027-11-01T02:30:00+01:00"]


def test_what_comes_every_hour_follows_the_time_that_passes() -> None:
    assert following("30 * * * *", "2027-10-31T01:00", 4) == [
        "2027-10-31T01:30:00+02:00",
        "2027-10-31T02:30:00+02:00",
        "2027-10-31T02:30:00+01:00",
        "2027-10-31T03:30:00+01:00",
    ]
    assert following("30 * * * *", "2027-03-28T01:00", 2) == [
        "2027-03-28T01:30:00+01:00",
        "2027-03-28T03:30:00+02:00",
    ]


def test_a_year_of_moments_is_the_list_of_cronsim() -> None:
    begin = datetime(2027, 1, 1, tzinfo=BERLIN)
    for cron in ("0 3 * * 1-5", "30 2 * * *", "*/20 1-3 28-31 3,10 *", "0 0 L * *"):
        timing = Timing(cron, timezone="Europe/Berlin")
        expected = [each.timestamp() for each in islice(CronSim(cron, begin), 400)]
        found: list[float] = []
        moment: float | None = begin.timestamp()
        while len(found) < 400 and moment is not None:
            moment = timing.after(moment)
            assert moment is not None
            found.append(moment)
        assert found == sorted(set(expected)) or found == expected, cron


@pytest.mark.parametrize("cron", ["* * * * *", "*/7 2 * * *", "30 2 * * *", "0 3 1 * *"])
def test_what_was_missed_is_the_latest_of_what_follows(cron: str) -> None:
    timing = Timing(cron, timezone="Europe/Berlin")
    first = timing.after(at("2027-03-20T00:00"))
    assert first is not None
    for days in (0, 1, 10, 300):
        until = first + days * 86_400
        expected = [first]
        while (moment := timing.after(expected[-1])) is not None and moment <= until:
            expected.append(moment)
            if len(expected) > 20_000:
                break
        if len(expected) <= 20_000:
            assert timing.between(first, until) == expected[-MOST:]
    assert timing.between(first, first - 1) == []


def test_an_interval_is_due_at_its_multiples_since_the_epoch() -> None:
    timing = Timing(every_s=3_600.0)
    assert timing.after(at("2027-01-10T12:20:00+00:00")) == at("2027-01-10T13:00:00+00:00")
    assert timing.after(at("2027-01-10T13:00:00+00:00")) == at("2027-01-10T14:00:00+00:00")
    third = Timing(every_s=0.1)
    moment, found = 1_800_000_000.0, list[float]()
    for _ in range(1_000):
        after = third.after(moment)
        assert after is not None
        assert after > moment
        found.append(after)
        moment = after
    assert found[-1] == 1_800_000_100.0
    assert Timing(every_s=60.0).between(60.0, 60.0 * 5_000)[0] == 60.0 * (5_000 - MOST + 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "it says nothing of when it is due: cron='0 3 * * 1-5', timezone="),
        ({"cron": "0 3 * * *", "every_s": 60}, "give cron=... or every_s=..., not both"),
        ({"every_s": 0}, "every_s: input should be greater than 0, not 0"),
        ({"every_s": -5}, "every_s: input should be greater than 0, not -5"),
        ({"every_s": float("nan")}, "every_s: input should be"),
        ({"every_s": 60, "timezone": "Europe/Berlin"}, "timezone=... goes with cron="),
        ({"cron": "61 * * * *"}, "cron='61 * * * *' cannot be read (Bad minute)"),
        ({"cron": "every day"}, "Minute, hour, day of the month, month, day of the week"),
        ({"cron": "0 0 3 * * *"}, "has 6 fields, and 5 are needed"),
        ({"cron": ""}, "has 0 fields, and 5 are needed"),
        ({"cron": "0 0 30 2 *"}, "(Bad day-of-month)"),
        ({"cron": "0 3 * * *", "timezone": "Berlin"}, "Did you mean 'Europe/Berlin'?"),
        ({"cron": "0 3 * * *", "timezone": "../etc"}, "is not a time zone"),
        ({"cron": "0 3 * * *", "timezone": ""}, "is not a time zone"),
        (
            {"every_s": 60, "missed": "sometimes"},
            "missed: input should be 'skip', 'latest' or 'all'",
        ),
        ({"every_s": 60, "missed": "all"}, "overlap='queue' (one after another)"),
        ({"every_s": 60, "input": {"d": "$schedule.dew"}}, "input: '$schedule.dew' is not known."),
        ({"every_s": 60, "labels": {"due": "x"}}, "the label 'due' is set by the schedule itself"),
        ({"every_s": 60, "crom": "x"}, "unknown field 'crom'"),
        ({"every_s": 60, "name": "a~b"}, "no '~'"),
        ({"every_s": 60, "name": " "}, "is not a name"),
    ],
)
def test_what_cannot_be_meant_is_told_with_what_works(given: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        ScheduleDefinition(**{"name": "nightly", "workflow": "report", **given})
    assert said in str(caught.value)


def test_without_cronsim_cron_names_the_extra_and_intervals_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("cronsim"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "cronsim", raising=False)
    assert ScheduleDefinition(name="n", workflow="w", every_s=60).timing.after(0) == 60
    with pytest.raises(MissingExtra, match="needs the extra 'schedules'"):
        ScheduleDefinition(name="n", workflow="w", cron="0 3 * * *")


def test_moments_are_said_in_the_zone_of_the_schedule() -> None:
    timing = Timing("0 3 * * *", timezone="Europe/Berlin")
    assert timing.local(at("2027-07-01T03:00")).isoformat() == "2027-07-01T03:00:00+02:00"
    assert Timing(every_s=60.0).local(60.0) == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
