"""Who may look and act, and what a browser is told about it."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from observed_service import Service
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse

from agenticaiframework.actors import WrongUse
from agenticaiframework.observer import ObserverAction, observer_app

TOKEN = "a long enough token"


def test_without_a_token_only_this_machine_is_answered(in_service: Any) -> None:
    async def test(service: Service) -> None:
        app = service.app()
        for host, at, wanted in (
            ("localhost", "127.0.0.1", 200),
            ("127.0.0.1:4040", "127.0.0.1", 200),
            ("[::1]:4040", "::1", 200),
            ("rebound.example", "127.0.0.1", 403),
            ("localhost", "10.0.0.7", 403),
        ):
            async with service.client(app, host=host, at=at) as client:
                for path in ("/", "/api/overview", "/live/tree-", "/act"):
                    got = (await client.get(path)).status_code
                    assert (got == 403) is (wanted == 403) or path == "/act", (host, at, path)
        async with service.client(app) as client:
            proxied = await client.get("/", headers={"x-forwarded-for": "1.2.3.4"})
            assert proxied.status_code == 403

    in_service(test)


def test_a_token_is_sent_or_entered_once(in_service: Any) -> None:
    async def test(service: Service) -> None:
        app = service.app(token=TOKEN)
        async with service.client(app, host="shop.example", at="10.0.0.7") as client:
            assert (await client.get("/api/overview")).status_code == 403
            right = {"authorization": f"Bearer {TOKEN}"}
            assert (await client.get("/api/overview", headers=right)).status_code == 200
            wrong = {"authorization": "Bearer something else"}
            assert (await client.get("/api/overview", headers=wrong)).status_code == 403
            there = await client.get("/tree", headers={"accept": "text/html"})
            assert (there.status_code, there.headers["location"]) == (303, "/login")
            form = form_of((await client.get("/login")).text)
            said = await client.post("/login", data={"form": form, "token": "wrong token"})
            assert said.status_code == 403
            assert TOKEN not in said.text
            entered = await client.post("/login", data={"form": form, "token": TOKEN})
            cookie = entered.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "samesite=strict" in cookie.lower()
            assert TOKEN not in cookie
            assert (await client.get("/tree")).status_code == 200
            assert (await client.get("/static/observer.css")).status_code == 200

    in_service(test)


def test_the_services_own_rule_decides_and_names_who_asks(in_service: Any) -> None:
    async def rule(request: Request) -> Any:
        user = request.headers.get("x-user")
        if user == "nobody":
            raise HTTPException(401, "who are you?")
        if user is None:
            return RedirectResponse("/sign-in")
        return user if user.startswith("op-") else None

    async def test(service: Service) -> None:
        app = service.app(auth=rule)
        async with service.client(app, host="shop.example", at="10.0.0.7") as client:
            for user, wanted in (("op-ann", 200), ("eve", 403), ("nobody", 401), (None, 307)):
                headers = {} if user is None else {"x-user": user}
                answer = await client.get("/", headers=headers)
                assert answer.status_code == wanted, user
                if wanted == 200:
                    assert "op-ann" in answer.text

    in_service(test)


def test_a_browser_is_told_to_run_nothing_from_elsewhere_or_inline(in_service: Any) -> None:
    async def test(service: Service) -> None:
        run = await service.engine.start_workflow("gate", {})
        async with service.client(service.app(actions=True)) as client:
            for path in (
                "/",
                "/tree",
                f"/runs/{run}",
                "/static/observer.js",
                "/api/overview",
                "/nothing",
            ):
                answer = await client.get(path)
                policy = answer.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert "frame-ancestors 'none'" in policy
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["cache-control"]
            html = (await client.get(f"/runs/{run}")).text
            assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?! src=)", html)
            assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)

    in_service(test)


def form_of(html: str) -> str:
    found = re.search(r'name="form" value="([^"]+)"', html)
    assert found is not None
    return found.group(1)


async def confirmed(
    client: httpx.AsyncClient, action: str, target: Any, **fields: str
) -> httpx.Response:
    asked = await client.get(
        "/act", params={"action": action, "target": str(target), "back": "/tree"}
    )
    assert asked.status_code == 200, asked.text
    data = {
        "form": form_of(asked.text),
        "action": action,
        "target": str(target),
        "back": "/tree",
        **fields,
    }
    return await client.post("/act", data=data)


def test_actions_are_off_unless_enabled(in_service: Any) -> None:
    async def test(service: Service) -> None:
        run = await service.engine.start_workflow("gate", {})
        body = {"action": "cancel", "target": run}
        async with service.client() as client:
            assert "/act?" not in (await client.get(f"/runs/{run}")).text
            assert (await client.get("/act", params=body)).status_code == 403
            assert (await client.post("/api/actions", json=body)).status_code == 409
        async with service.client(service.app(actions=["cancel"])) as client:
            html = (await client.get(f"/runs/{run}")).text
            assert "action=cancel" in html
            assert "action=signal" not in html
        assert not (await service.engine.get_workflow_status(run)).finished
        with pytest.raises(ValueError, match=r"cancle.*cancel"):
            service.app(actions=["cancle"])

    in_service(test)


def test_a_form_of_another_site_does_nothing(in_service: Any) -> None:
    async def test(service: Service) -> None:
        run = await service.engine.start_workflow("gate", {})
        async with service.client(service.app(actions=True)) as client:
            asked = await client.get("/act", params={"action": "cancel", "target": run})
            good = {"form": form_of(asked.text), "action": "cancel", "target": run, "back": "/"}
            for data, headers in (
                ({**good, "form": ""}, {}),
                ({**good, "form": "0" * 64}, {}),
                (good, {"origin": "http://evil.example"}),
                (good, {"origin": "null"}),
                (good, {"sec-fetch-site": "cross-site"}),
                (good, {"sec-fetch-site": "same-site"}),
            ):
                assert (await client.post("/act", data=data, headers=headers)).status_code == 403
            body = {"action": "cancel", "target": run}
            plain = await client.post(
                "/api/actions", content=str(body), headers={"content-type": "text/plain"}
            )
            assert plain.status_code == 415
            far = await client.post(
                "/api/actions", json=body, headers={"origin": "http://evil.example"}
            )
            assert far.status_code == 403
            assert not (await service.engine.get_workflow_status(run)).finished
            # The cookie of another browser does not go with this form.
            client.cookies.clear()
            assert (await client.post("/act", data=good)).status_code == 403

    in_service(test)


def test_a_way_back_leads_to_this_app_alone(in_service: Any) -> None:
    async def test(service: Service) -> None:
        async with service.client(service.app(actions=True)) as client:
            for back in (
                "//evil.example",
                "https://evil.example",
                "/\\evil",
                "javascript:alert(1)",
            ):
                params = {"action": "cancel", "target": "x", "back": back}
                html = (await client.get("/act", params=params)).text
                assert 'name="back" value="/"' in html, back

    in_service(test)


def test_schedules_are_steered_and_it_is_recorded_who_did_it(in_service: Any) -> None:
    async def test(service: Service) -> None:
        done: list[ObserverAction] = []
        service.system.subscribe(done.append, ObserverAction)
        engine = service.engine
        await engine.schedule("tick <b>", "gate", every_s=1e9)
        app = service.app(actions=True, auth=lambda _request: "ann")
        async with service.client(app) as client:
            html = (await client.get("/queues")).text
            assert "action=pause_schedule" in html
            assert "action=resume_schedule" not in html
            await confirmed(client, "pause_schedule", "tick <b>", reason="the disk is full")
            (status,) = await engine.schedules()
            assert (status.paused, status.reason) == (True, "the disk is full")
            assert "action=resume_schedule" in (await client.get("/queues")).text
            await confirmed(client, "resume_schedule", "tick <b>")
            await confirmed(client, "trigger_schedule", "tick <b>")
            assert len(await engine.list_workflows(labels={"schedule": "tick <b>"})) == 1
            await confirmed(client, "delete_schedule", "tick <b>")
            assert await engine.schedules() == []
            assert (await confirmed(client, "delete_schedule", "tick <b>")).status_code == 409
            offered = (await client.get("/api/overview")).json()["actions"]["schedule"]
            assert "delete_schedule" in offered
        assert [(one.who, one.action, one.ok) for one in done] == [
            ("ann", "pause_schedule", True),
            ("ann", "resume_schedule", True),
            ("ann", "trigger_schedule", True),
            ("ann", "delete_schedule", True),
            ("ann", "delete_schedule", False),
        ]

    in_service(test)


def test_runs_are_steered_and_it_is_recorded_who_did_it(in_service: Any) -> None:
    async def test(service: Service) -> None:
        done: list[ObserverAction] = []
        service.system.subscribe(done.append, ObserverAction)
        engine = service.engine
        held = await engine.start_workflow("gate", {})
        order = await engine.start_workflow("order", {})
        other = await engine.start_workflow("gate", {})
        bad = await engine.start_workflow("bad", {})
        await service.run_until(order, "waiting")
        await service.run_until(bad, "failed")
        app = service.app(actions=True, auth=lambda _request: "ann")
        async with service.client(app) as client:
            assert (
                await confirmed(client, "signal", held, signal="go", payload="1")
            ).status_code == 303
            for unclear in ('{"ok": true, "ok": false}', "NaN"):
                refused = await confirmed(
                    client, "answer", order, question="pay/allow", payload=unclear
                )
                assert refused.status_code == 409
            answered = await confirmed(
                client, "answer", order, question="pay/allow", payload='{"ok": true}'
            )
            assert answered.status_code == 303
            assert (
                await confirmed(client, "cancel", other, reason="not needed")
            ).status_code == 303
            assert (await confirmed(client, "resume", bad)).status_code == 303
            refused = await confirmed(client, "answer", order, question="nothing")
            assert refused.status_code == 409
        await service.run_until(held, "completed")
        await service.run_until(order, "completed")
        await service.run_until(other, "cancelled")
        assert await engine.wait(order) == {"look": {}, "pay": {"ok": True}}
        assert [(one.who, one.action, one.ok) for one in done] == [
            ("ann", "signal", True),
            ("ann", "answer", False),
            ("ann", "answer", False),
            ("ann", "answer", True),
            ("ann", "cancel", True),
            ("ann", "resume", True),
            ("ann", "answer", False),
        ]

    in_service(test)


def test_actors_are_restarted_stopped_and_suspended(in_service: Any) -> None:
    async def test(service: Service) -> None:
        async with service.client(service.app(actions=True)) as client:

            async def do(action: str, target: Any) -> httpx.Response:
                return await client.post(
                    "/api/actions", json={"action": action, "target": str(target)}
                )

            child = service.root.child("failing")
            before = child.ref
            assert before is not None
            assert (await do("restart", before.pid)).json()["ok"]
            after = child.ref
            assert after is not None
            assert after is not before
            assert child.is_alive
            assert (await do("suspend", after.pid)).json()["ok"]
            assert service.system.info(after).state == "suspended"
            assert (await do("unsuspend", after.pid)).json()["ok"]
            assert service.system.info(after).state == "idle"
            assert (await do("stop", after.pid)).json()["ok"]
            assert child.state == "stopped"
            gone = await do("stop", after.pid)
            assert (gone.status_code, gone.json()["ok"]) == (409, False)
            assert (await do("restart", "x")).status_code == 409

    in_service(test)


def test_it_says_what_it_needs() -> None:
    with pytest.raises(WrongUse, match="needs the actor system"):
        observer_app("nothing")  # type: ignore[arg-type]
