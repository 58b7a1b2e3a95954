"""`agenticaiframework store`: a store set up, checked, counted and cleaned, without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from agenticaiframework.patterns.engine import EngineConfig
from agenticaiframework.patterns.engine.store import (
    Retention,
    StoreAdministration,
    StoreInfo,
    administer,
    open_store,
)

from .selection import read_where
from .showing import say, say_json
from .stored import BadRequest

_NOT_READY = 1


def _url(store: str | None) -> str:
    return store or str(EngineConfig().state_store)


def _administer(store: str | None) -> StoreAdministration:
    return administer(_url(store))


def sql_command(store: str | None, role: str | None) -> int:
    """Print the SQL that sets a store up."""
    say(_administer(store).sql(role), end="")
    return 0


def migrate_command(store: str | None, *, as_json: bool) -> int:
    """Make a store's schema, or bring it up to date."""
    before, after = _administer(store).migrate()
    if as_json:
        say_json({"before": before, "after": after})
    elif before == after:
        say(f"Up to date: version {after}.")
    else:
        say(f"{'Made' if before == 0 else f'Migrated from version {before}'}: version {after}.")
    return 0


def check_command(store: str | None, *, as_json: bool) -> int:
    """Print what keeps engines from working with a store; the exit code is 1 if anything does."""
    problems = _administer(store).check()
    if as_json:
        say_json({"ready": not problems, "problems": problems})
    elif problems:
        say("Not ready:")
        for problem in problems:
            say(f"- {problem}")
    else:
        say("Ready.")
    return _NOT_READY if problems else 0


def info_command(store: str | None, *, as_json: bool) -> int:
    """Print what is in a store."""
    info = _administer(store).info()
    if as_json:
        say_json(info.to_dict())
    else:
        _print_info(info)
    return 0


def _print_info(info: StoreInfo) -> None:
    say(info.store)
    if info.version < info.newest:
        found = f"version {info.version}" if info.version else "not set up"
        say(f"schema: {found}; this program makes version {info.newest} (store migrate)")
        return
    say(f"schema: version {info.version}")
    say(f"size: {info.bytes:,} bytes, {info.records:,} journal rows")
    runs = ", ".join(f"{count:,} {state}" for state, count in info.runs.items())
    say(f"runs: {runs or 'none'}")
    for engine in info.engines:
        seen = ""
        if engine.seen_at is not None:
            seen = f", seen {datetime.fromtimestamp(engine.seen_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        state = "alive" if engine.alive else "gone"
        say(f"engine {engine.engine_id}: {state}, {engine.runs:,} runs{seen}")


def purge_command(
    store: str | None,
    *,
    older_than_days: float | None,
    keep: int | None,
    states: Sequence[str] | None,
    as_json: bool,
) -> int:
    """Forget finished runs of a store; print how many."""
    if older_than_days is None and keep is None:
        raise BadRequest("Say which runs: --older-than-days 30, --keep 1000, or both")
    if (older_than_days is not None and not older_than_days >= 0) or (
        keep is not None and keep < 0
    ):
        raise BadRequest("--older-than-days and --keep take numbers from 0 on")
    wanted = read_where(states, None, None, None, None, None).get("state")
    problems = _administer(store).check()
    if problems:
        raise BadRequest(f"The store is not ready: {'; '.join(problems)}")
    policy = Retention(
        max_age_s=None if older_than_days is None else older_than_days * 86_400,
        # More than a store can count are all of them.
        max_finished=None if keep is None else min(keep, 10**15),
        states=None if wanted is None else frozenset(wanted),
    )

    async def main() -> int:
        opened = open_store(_url(store))
        await opened.open()
        try:
            return await opened.purge(policy)
        finally:
            await opened.close()

    purged = asyncio.run(main())
    if as_json:
        say_json({"purged": purged})
    else:
        say(f"{purged:,} runs forgotten.")
    return 0
