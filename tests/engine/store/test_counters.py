"""What a store counts since it was made."""

from __future__ import annotations

import asyncio

from .media import FINISHED, STARTED, Medium, new_run, opened


def test_a_store_counts_its_commits_and_what_is_in_them(medium: Medium) -> None:
    async def main() -> None:
        made = medium.store().stats()
        assert (made.commits, made.appends, made.records) == (0, 0, 0)
        assert (made.largest_batch, made.failed_appends) == (0, 0)
        async with opened(medium) as (store, owner):
            before = store.stats()
            lease = await store.create_run(owner, new_run(), [STARTED])
            await store.append(lease, [FINISHED, FINISHED])
            after = store.stats()
            assert after.commits - before.commits == 2
            assert after.appends - before.appends == 2
            assert after.records - before.records == 3
            assert (after.largest_batch, after.failed_appends) == (1, 0)

    asyncio.run(main())
