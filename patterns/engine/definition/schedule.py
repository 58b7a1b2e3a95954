"""What a schedule is: a workflow, when it is due, and what happens to what could not start in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias, cast

from pydantic import Field, field_validator, model_validator

from agenticaiframework.actors import near_names

from ...definition.definition import Definition
from ...definition.fields import Seconds
from .queues import check_place
from .timing import DEFAULT_ZONE, Timing

Missed: TypeAlias = Literal["skip", "latest", "all"]
Overlap: TypeAlias = Literal["skip", "queue", "allow"]

PLACEHOLDER: Final = "$schedule"
FACTS: Final = ("name", "due", "date")
"""What an input may say of the start that it is for: ``$schedule.due``."""

_LONGEST_NAME: Final = 200
_MARK: Final = "~"
"""Stands in the ids of the parts of runs, and in no other."""


class ScheduleRules(Definition):
    """When a schedule is due, what its runs are given, and what happens to what could not start in time."""

    input: Any = None
    """What each run is given. In it ``$schedule.due`` stands for when it was due (ISO 8601, in the
    schedule's zone), ``$schedule.date`` for that day, ``$schedule.name`` for the schedule's name."""
    cron: str | None = None
    """Minute, hour, day of the month, month, day of the week, as in ``0 3 * * 1-5``. Needs the extra
    ``schedules``."""
    every_s: Seconds | None = None
    """Seconds between two starts: at the multiples of it since the epoch."""
    timezone: str = DEFAULT_ZONE
    """The time zone that ``cron`` is meant in, such as ``Europe/Berlin``."""
    jitter_s: Seconds | None = None
    """Each start is put off by a part of this time that is drawn anew, so that schedules of one moment
    do not all begin in it. An interval's is at most the interval; a cron's belongs below its shortest."""
    missed: Missed = "latest"
    """What is started of that which was due while no engine could: the ``latest`` alone, ``all`` (the
    latest 1,000), or nothing that is more than a minute late (``skip``)."""
    overlap: Overlap = "skip"
    """What is done while a run of it has not ended: ``skip`` the start, ``queue`` it (one waits; with
    ``missed="all"`` up to 1,000), or ``allow`` both."""
    labels: Mapping[str, str] = Field(default_factory=dict[str, str])
    """Labels of its runs, beside ``schedule`` and ``due``."""
    context: Mapping[str, Any] | None = None
    """What the handlers of its runs find in ``agent_context()``."""
    queue: str | None = None
    """The queue that its runs wait in, until an engine takes them that serves it."""
    key: str | None = None
    """The key of its runs in the queue."""
    priority: int = 0
    """The priority of its runs in the queue: the larger, the sooner."""

    also_known_as: ClassVar[Mapping[str, str]] = {
        "interval": "every_s",
        "every": "every_s",
        "every_seconds": "every_s",
        "tz": "timezone",
        "time_zone": "timezone",
        "input_data": "input",
        "misfire": "missed",
        "jitter": "jitter_s",
    }

    @property
    def timing(self) -> Timing:
        """When it is due."""
        return Timing(self.cron, self.every_s, self.timezone)

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for own in ("schedule", "due"):
            if own in value:
                raise ValueError(
                    f"the label {own!r} is set by the schedule itself; take another name"
                )
        return value

    @field_validator("input")
    @classmethod
    def _check_input(cls, value: Any) -> Any:
        filled(value, dict.fromkeys(FACTS, ""))
        return value

    @model_validator(mode="after")
    def _check_timing(self) -> Self:
        form = "cron='0 3 * * 1-5', timezone='Europe/Berlin', or every_s=3600"
        if self.cron is not None and self.every_s is not None:
            raise ValueError(f"give cron=... or every_s=..., not both: {form}")
        if self.cron is None and self.every_s is None:
            raise ValueError(f"it says nothing of when it is due: {form}")
        if self.every_s is not None and self.timezone != DEFAULT_ZONE:
            raise ValueError(
                "timezone=... goes with cron=...: an interval is the same everywhere. For a time of "
                f"day: cron='0 3 * * *', timezone={self.timezone!r}"
            )
        if self.jitter_s is not None and self.every_s is not None and self.jitter_s > self.every_s:
            raise ValueError(
                f"jitter_s={self.jitter_s:g} is longer than every_s={self.every_s:g}: a start would be "
                f"put off beyond the next. At most jitter_s={self.every_s:g}"
            )
        if self.missed == "all" and self.overlap == "skip":
            raise ValueError(
                "missed='all' with overlap='skip' would start one and skip the rest: write "
                "overlap='queue' (one after another) or overlap='allow' (all at once)"
            )
        if self.queue is not None or self.key is not None or self.priority:
            check_place(self.queue, self.key, self.priority, "schedule")
        wrong = self.timing.check()
        if wrong is not None:
            raise ValueError(wrong)
        return self


class ScheduleDefinition(ScheduleRules):
    """A workflow that is started again and again: by ``cron`` in a time zone, or ``every_s`` seconds.

    ::

        ScheduleDefinition(name="nightly", workflow="report", cron="0 3 * * 1-5", timezone="Europe/Berlin")
    """

    name: str
    """What it is known by in the store. Its runs have ids that begin with it."""
    workflow: str
    """The name of a registered workflow: each start takes what that means then."""

    @field_validator("name", "workflow")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not value.strip() or value != value.strip() or not value.isprintable():
            raise ValueError(f"{value!r} is not a name: a text without blanks around it")
        if _MARK in value or len(value) > _LONGEST_NAME:
            raise ValueError(
                f"{value[:50]!r}: a name has at most {_LONGEST_NAME} characters, and no {_MARK!r}"
            )
        return value


def filled(value: Any, facts: Mapping[str, str]) -> Any:
    """Return an input with what is said of its start in the place of ``$schedule...``.

    >>> filled({"day": "$schedule.date", "n": [1, "$schedule"]}, {"date": "2027-01-10"})
    {'day': '2027-01-10', 'n': [1, {'date': '2027-01-10'}]}
    """
    if isinstance(value, str):
        if value == PLACEHOLDER:
            return dict(facts)
        if not value.startswith(f"{PLACEHOLDER}."):
            return value
        fact = value.removeprefix(f"{PLACEHOLDER}.")
        if fact not in facts:
            raise ValueError(f"{value!r} is not known. {near_names(fact, facts)}")
        return facts[fact]
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {key: filled(each, facts) for key, each in items}
    if isinstance(value, (list, tuple)):
        return [filled(each, facts) for each in cast("list[Any]", value)]
    return value
