"""The same data as JSON, for terminals and programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agenticaiframework.patterns.engine import strict_json

from .access import BrowserAccess
from .actions import KINDS, Actions, Refused
from .data.census import ORDERS
from .views import ACTOR_STATES, ROWS, ROWS_AT_MOST, number, run_filter

if TYPE_CHECKING:
    from .data import Observed


class JsonApi:
    """Answers with what `Observed` tells. Holds no state."""

    def __init__(self, observed: Observed, access: BrowserAccess, actions: Actions) -> None:
        self._observed = observed
        self._access = access
        self._doing = actions

    async def get(self, request: Request) -> Response:
        """Answer one question about the system."""
        what = request.path_params["what"]
        ask = getattr(self, f"_{what}", None) if what in QUESTIONS else None
        if ask is None:
            raise HTTPException(404, f"There is: {', '.join(sorted(QUESTIONS))}")
        try:
            params = {**request.query_params, **request.path_params, "who": request.state.who}
            found = await ask(params)
        except LookupError as error:
            raise HTTPException(404, str(error)) from None
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return JSONResponse(finite(found))

    async def act(self, request: Request) -> Response:
        """Do ``{"action": ..., "target": ..., **fields}``. The type of the content says that it is JSON,
        which a form on another site cannot say."""
        self._access.check_origin(request)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise HTTPException(415, "Send JSON, with the content type application/json.")
        try:
            body: Any = strict_json(await request.body())
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"That is not JSON: {error}") from None
        if not isinstance(body, dict):
            raise HTTPException(400, "Send an object with action and target.")
        fields = {str(k): str(v) for k, v in cast("dict[Any, Any]", body).items()}
        try:
            result = await self._doing.do(
                request.state.who, fields.pop("action", ""), fields.pop("target", ""), fields
            )
        except Refused as error:
            return JSONResponse({"ok": False, "error": str(error)}, 409)
        return JSONResponse({"ok": True, "result": result})

    # -- questions ---------------------------------------------------------------------------------

    async def _overview(self, params: Mapping[str, str]) -> Any:
        offered = {of: [one.name for one in self._doing.offered(of)] for of in KINDS}
        overview = await self._observed.overview()
        return {**overview, "actions": offered, "who": params["who"]}

    async def _actions(self, _params: Mapping[str, str]) -> Any:
        offered = [one for of in KINDS for one in self._doing.offered(of)]
        return {"rows": [asdict(one) for one in offered]}

    async def _series(self, _params: Mapping[str, str]) -> Any:
        return await self._observed.samples()

    async def _tree(self, params: Mapping[str, str]) -> Any:
        root = number(params, "root", 0) or None
        return await self._observed.tree(root=root, start=number(params, "start", 0))

    async def _actors(self, params: Mapping[str, str]) -> Any:
        order, state = params.get("order", "load"), params.get("state") or None
        if order not in ORDERS:
            raise ValueError(f"order: one of {', '.join(ORDERS)}")
        if state is not None and state not in ACTOR_STATES:
            raise ValueError(f"state: one of {', '.join(ACTOR_STATES)}")
        return await self._observed.actors(
            order=order,
            state=state,
            query=params.get("q", "")[:200],
            start=number(params, "start", 0, 10_000),
            limit=number(params, "limit", ROWS, ROWS_AT_MOST) or ROWS,
        )

    async def _actor(self, params: Mapping[str, str]) -> Any:
        found = await self._observed.actor(number(params, "id", 0))
        if found is None:
            raise LookupError("There is no such actor any more.")
        return found

    async def _runs(self, params: Mapping[str, str]) -> Any:
        limit = number(params, "limit", ROWS, ROWS_AT_MOST) or ROWS
        page = params.get("page") or None
        details = params.get("details", "") not in ("", "0")
        where = run_filter(params)
        return await self._observed.runs(where, page=page, limit=limit, details=details)

    async def _run(self, params: Mapping[str, str]) -> Any:
        return await self._observed.run(params.get("id", ""))

    async def _journal(self, params: Mapping[str, str]) -> Any:
        limit = number(params, "limit", 200, 1_000) or 200
        after = number(params, "after", 0)
        return await self._observed.journal(params.get("id", ""), after=after, limit=limit)

    async def _events(self, params: Mapping[str, str]) -> Any:
        limit = number(params, "limit", 100, ROWS_AT_MOST) or 100
        after = number(params, "after", 0)
        return await self._observed.events(
            after=after, limit=limit, kind=params.get("kind") or None
        )

    async def _letters(self, params: Mapping[str, str]) -> Any:
        return await self._observed.letters(limit=number(params, "limit", 100, ROWS_AT_MOST) or 100)

    async def _models(self, _params: Mapping[str, str]) -> Any:
        return await self._observed.models()

    async def _schedules(self, _params: Mapping[str, str]) -> Any:
        return await self._observed.schedules()

    async def _queues(self, _params: Mapping[str, str]) -> Any:
        return await self._observed.queues()

    async def _stores(self, _params: Mapping[str, str]) -> Any:
        return {"rows": await self._observed.stores()}

    async def _nodes(self, _params: Mapping[str, str]) -> Any:
        return {"rows": await self._observed.nodes()}

    async def _health(self, _params: Mapping[str, str]) -> Any:
        return await self._observed.health()

    async def _search(self, params: Mapping[str, str]) -> Any:
        return await self._observed.search(params.get("q", "")[:200])


QUESTIONS = frozenset(
    {
        "actions", "overview", "series", "tree", "actors", "actor", "runs", "run", "journal", "events",
        "letters", "models", "nodes", "queues", "schedules", "stores", "health", "search",
    }
)  # fmt: skip


def finite(value: Any) -> Any:
    """Return *value* with infinite numbers as None: JSON has no form for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in cast("list[Any]", value)]
    return value
