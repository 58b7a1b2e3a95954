"""What is shown of a running service: as JSON, as HTML, and as it changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from observed_service import EVIL, Failing, Service

from agenticaiframework.actors import Actor, ActorSystem, ModelRequestEnded, Usage
from agenticaiframework.observer import observer_app, serve_observer
from agenticaiframework.observer.views import MENU
from agenticaiframework.patterns.engine import EngineConfig, OrchestrationEngine
from agenticaiframework.patterns.engine.store import NewRun, open_store


async def get(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_view_of_the_menu_is_shown(in_service: Any) -> None:
    async def test(service: Service) -> None:
        async with service.client() as client:
            for name in MENU:
                answer = await client.get("/" if name == "overview" else f"/{name}")
                assert answer.status_code == 200, name
                assert '<main id="content"' in answer.text
                assert "<script src=" in answer.text
                assert answer.text.count('aria-current="page"') == 1

    in_service(test)


def test_the_tree_says_who_handles_what_and_who_was_restarted(in_service: Any) -> None:
    async def test(service: Service) -> None:
        async with service.client() as client:
            service.root.child("waiting").tell({"a": 1})
            service.root.child("failing").tell("no")
            await service.until(lambda: _restarted(service))
            (root,) = (await get(client, "/api/tree"))["rows"]
            assert [child["name"] for child in root["children"]] == ["desk", "failing", "waiting"]
            desk, failing, waiting = root["children"]
            assert [one["name"] for one in desk["children"]] == ["clerk"]
            assert failing["restarts"] == 1
            assert failing["last_exit"] == "ValueError: no"
            assert waiting["message"] == "dict"
            assert waiting["busy_s"] >= 0
            html = (await client.get("/tree")).text
            assert "clerk" in html
            assert "ValueError: no" in html
            events = (await get(client, "/api/events"))["rows"]
            assert [one["kind"] for one in events] == ["child_terminated"]

    in_service(test)


async def _restarted(service: Service) -> bool:
    child = service.root.child("failing")
    return child.restarts == 1 and child.is_alive


def test_payloads_are_shown_only_if_they_may_be(in_service: Any) -> None:
    async def test(service: Service) -> None:
        service.root.child("waiting").tell({"card": "4711"})
        await service.until(lambda: _handled(service))
        run = await service.engine.start_workflow("order", {"card": "4711"})
        await service.run_until(run, "waiting")
        for shown in (False, True):
            async with service.client(service.app(payloads=shown)) as client:
                for path in (
                    "/tree",
                    "/actors",
                    f"/runs/{run}",
                    f"/api/run/{run}",
                    f"/api/journal/{run}",
                ):
                    assert ("4711" in (await client.get(path)).text) is shown, path

    in_service(test)


async def _handled(service: Service) -> bool:
    ref = service.root.child("waiting").ref
    return ref is not None and service.system.info(ref).current_message is not None


def test_a_run_has_its_graph_its_journal_and_its_question(in_service: Any) -> None:
    async def test(service: Service) -> None:
        run = await service.engine.start_workflow("order", {}, labels={"tenant": "a"})
        await service.run_until(run, "waiting")
        async with service.client() as client:
            row = await get(client, f"/api/run/{run}")
            assert [step["state"] for step in row["steps"]] == ["completed", "waiting"]
            assert row["steps"][1]["depends"] == ["look"]
            (wait,) = row["waits"]
            assert (wait["kind"], wait["id"], wait["step"]) == ("question", "pay/allow", "pay")
            assert '"amount": 12' in wait["question"]
            kinds = [one["kind"] for one in (await get(client, f"/api/journal/{run}"))["rows"]]
            assert kinds[:2] == ["workflow_started", "step_started"]
            assert "question_asked" in kinds
            assert [one["kind"] for one in row["spans"]][:2] == ["workflow", "attempt"]
            assert row["input"] is None
            html = (await client.get(f"/runs/{run}")).text
            assert '<svg class="graph trace"' in html
            assert '<svg class="graph"' in html
            assert "It waits for you" in html
            assert "Answer</a>" not in html  # actions are off

    in_service(test)


def test_a_journal_is_read_in_pages(in_service: Any) -> None:
    async def test(service: Service) -> None:
        run = await service.engine.start_workflow("order", {})
        await service.run_until(run, "waiting")
        async with service.client() as client:
            first = await get(client, f"/api/journal/{run}", limit=2)
            assert first["more"]
            rest = await get(client, f"/api/journal/{run}", after=first["rows"][-1]["number"])
            numbers = [one["number"] for one in first["rows"] + rest["rows"]]
            assert numbers == list(range(1, len(numbers) + 1))

    in_service(test)


def test_runs_are_found_by_state_name_and_label(in_service: Any) -> None:
    async def test(service: Service) -> None:
        bad = await service.engine.start_workflow("bad", {})
        held = await service.engine.start_workflow("gate", {}, labels={"tenant": "b"})
        await service.run_until(bad, "failed")
        await service.run_until(held, "waiting")
        async with service.client() as client:

            async def found(**params: str) -> list[str]:
                return [one["id"] for one in (await get(client, "/api/runs", **params))["rows"]]

            assert set(await found()) == {bad, held}
            assert await found(state="failed") == [bad]
            assert await found(name="gate") == [held]
            assert await found(label="tenant=b") == [held]
            first = await get(client, "/api/runs", limit="1")
            assert await found(limit="1", page=first["next"]) == [bad]
            assert (
                await client.get("/runs", params={"state": "nonsense", "page": "x/y"})
            ).status_code == 404
            counts = (await get(client, "/api/runs"))["counts"]
            assert counts["failed"]["count"] == counts["waiting"]["count"] == 1

    in_service(test)


def test_schedules_are_shown_with_the_last_time_the_next_and_the_counts(in_service: Any) -> None:
    async def test(service: Service) -> None:
        engine = service.engine
        await engine.schedule("tick <b>", "gate", every_s=1e9)
        await engine.schedule("other", "gate", every_s=1e9)
        await engine.pause_schedule("other", "the disk is full")
        run_id = await engine.trigger_schedule("tick <b>")
        async with service.client() as client:
            other, tick = (await get(client, "/api/schedules"))["rows"]
            assert (other["name"], other["paused"], other["reason"]) == (
                *("other", True, "the disk is full"),
            )
            assert (tick["last_run"], tick["counts"]["fired"]) == (run_id, 1)
            html = (await client.get("/queues")).text
            assert "tick &lt;b&gt;" in html
            assert "the disk is full" in html
            assert "/act?" not in html

    in_service(test)


def test_queues_are_shown_with_what_waits_and_their_runs_say_why(in_service: Any) -> None:
    async def test(service: Service) -> None:
        run = await service.engine.start_workflow("gate", {}, queue="g<b>", key="ada", priority=3)
        await service.engine.start_workflow("gate", {}, queue="other")
        async with service.client() as client:
            found = {row["name"]: row for row in (await get(client, "/api/queues"))["rows"]}
            assert (found["g<b>"]["waiting"], found["g<b>"]["engines"]) == (1, [])
            html = (await client.get("/queues")).text
            assert "g&lt;b&gt;" in html
            assert "no living engine" in html
            html = (await client.get("/runs", params={"queue": "g<b>"})).text
            assert html.count('class="id"') == 1
            assert "no living engine serves the queue" in html
            html = (await client.get(f"/runs/{run}")).text
            assert "key <bdi>ada</bdi>, priority 3" in html
            assert "no living engine serves the queue" in html

    in_service(test)


def test_what_agents_spend_is_summed_up(in_service: Any) -> None:
    async def test(service: Service) -> None:
        app = service.app()
        for _ in range(3):
            used = Usage(requests=1, input_tokens=10, output_tokens=1)
            service.system.publish(ModelRequestEnded("writer", "m", "p", used, 0.0, 0.5))
        async with service.client(app) as client:
            models = await get(client, "/api/models")
            assert models["total"]["total_tokens"] == 33
            assert [(one["name"], one["requests"]) for one in models["models"]] == [("p:m", 3)]
            assert "writer" in (await client.get("/models")).text

    in_service(test)


def test_dead_letters_are_listed_and_counted_by_reason(in_service: Any) -> None:
    async def test(service: Service) -> None:
        app = service.app()
        for _ in range(4):
            service.system.dead_letter({"secret": 1}, "gone", "noproc")
        async with service.client(app) as client:
            letters = await get(client, "/api/letters")
            assert letters["total"] == 4
            assert letters["reasons"] == {"noproc": 4}
            assert letters["rows"][0]["message"] == "dict"

    in_service(test)


def test_search_finds_actors_and_runs(in_service: Any) -> None:
    async def test(service: Service) -> None:
        run = await service.engine.start_workflow("gate", {})
        async with service.client() as client:
            actors = (await get(client, "/api/search", q="CLER"))["actors"]
            assert "clerk" in [one["name"] for one in actors]
            assert (await get(client, "/api/search", q=run))["runs"][0]["id"] == run
            assert (await get(client, "/api/search", q="gate"))["runs"][0]["id"] == run
            assert run in (await client.get("/search", params={"q": run})).text

    in_service(test)


def test_what_is_not_there_is_said_with_404(in_service: Any) -> None:
    async def test(service: Service) -> None:
        async with service.client() as client:
            for path in ("/actors/99999", "/runs/none", "/nothing", "/api/run/none", "/api/x"):
                assert (await client.get(path)).status_code == 404, path

    in_service(test)


def test_it_works_under_a_prefix(in_service: Any) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    async def test(service: Service) -> None:
        outer = Starlette(routes=[Mount("/ops/observer", service.app())])
        async with service.client(outer) as client:
            html = (await client.get("/ops/observer/")).text
            assert 'href="/ops/observer/tree"' in html
            assert 'src="/ops/observer/static/htmx.min.js"' in html
            assert 'hx-sse:connect="/ops/observer/live/overview"' in html
            assert (await client.get("/ops/observer/static/observer.css")).status_code == 200
            assert (await client.get("/ops/observer/api/overview")).status_code == 200

    in_service(test)


def test_storms_are_one_entry_with_a_count(in_service: Any) -> None:
    async def test(service: Service) -> None:
        app = service.app()
        refs = [service.system.start(Failing) for _ in range(300)]
        for ref in refs:
            ref.tell("all the same")
        await service.until(lambda: _all_ended(refs))
        async with service.client(app) as client:
            (one,) = (await get(client, "/api/events"))["rows"]
            assert one["count"] == 300

    in_service(test)


async def _all_ended(refs: list[Any]) -> bool:
    return not any(ref.is_alive() for ref in refs)


class Idle(Actor):
    def on_receive(self, _message: Any) -> None:
        pass


@pytest.mark.slow
def test_a_hundred_thousand_actors_are_listed_without_holding_the_loop(in_service: Any) -> None:
    async def test(service: Service) -> None:
        for _ in range(100_000):
            service.system.start(Idle)
        gaps: list[float] = []
        done = asyncio.Event()

        async def beat() -> None:
            loop = asyncio.get_running_loop()
            before = loop.time()
            while not done.is_set():
                await asyncio.sleep(0)
                gaps.append(loop.time() - before)
                before = loop.time()

        beating = asyncio.create_task(beat())
        async with service.client() as client:
            rows = await get(client, "/api/actors", limit=20, order="newest")
            assert rows["total"] >= 100_000
            assert len(rows["rows"]) == 20
            assert (await client.get("/actors")).status_code == 200
        done.set()
        await beating
        # Between two beats there is a slice, and not the whole.
        assert len(gaps) > 500

    in_service(test)


def test_it_is_served_alone_and_leaves_nothing_behind(in_service: Any) -> None:
    async def test(service: Service) -> None:
        async with (
            serve_observer(service.system, service.engine, port=0) as url,
            httpx.AsyncClient(base_url=url, timeout=60) as client,
        ):
            assert (await client.get("/")).status_code == 200
            async with client.stream("GET", "/live/tree") as stream, asyncio.timeout(60):
                assert stream.headers["content-type"].startswith("text/event-stream")
                async for line in stream.aiter_lines():
                    if "clerk" in line:
                        break
        with pytest.raises(ValueError, match="other machines"):
            async with serve_observer(service.system, host="0.0.0.0"):
                pass

    in_service(test)


def test_a_stream_tells_what_has_changed_and_ends_with_the_app(in_service: Any) -> None:
    async def test(service: Service) -> None:
        async with (
            serve_observer(service.system, service.engine, port=0) as url,
            httpx.AsyncClient(base_url=url, timeout=60) as client,
            client.stream("GET", "/live/events") as stream,
            asyncio.timeout(60),
        ):
            service.root.child("failing").tell("told at once")
            async for line in stream.aiter_lines():
                if "told at once" in line:
                    break

    in_service(test)


def test_a_system_in_the_background_is_seen_from_another_loop() -> None:

    with ActorSystem.in_background("far") as system:
        system.start(Idle, _name="there")

        async def main() -> None:
            app = observer_app(system)
            transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost"
            ) as client:
                found = await get(client, "/api/actors", q="there")
                assert [one["name"] for one in found["rows"]] == ["there"]
                assert (await client.get("/")).status_code == 200

        asyncio.run(main())


def test_nothing_an_agent_says_is_more_than_text(in_service: Any) -> None:
    async def test(service: Service) -> None:
        app = service.app(payloads=True)
        ref = service.system.start(Failing, _name=EVIL)
        evil = service.system.start(Idle, _name=EVIL + "2")
        service.system.suspend(evil)
        evil.tell({EVIL: EVIL})
        ref.tell(EVIL)
        service.system.dead_letter(EVIL, EVIL, EVIL)
        service.root.child("failing").tell(EVIL)
        await service.until(lambda: _restarted(service))
        run = await service.engine.start_workflow("bad", {"x": EVIL}, labels={"evil": EVIL})
        await service.run_until(run, "failed")
        async with service.client(app) as client:
            paths = ["/", *(f"/{name}" for name in MENU[1:]), f"/runs/{run}", f"/actors/{evil.pid}"]
            paths += [
                "/search?q=" + "%3Cscript%3Ealert(1)",
                "/actors?q=%22%3E%3Cscript%3E",
                "/runs?name=%22%3E%3Cscript%3E",
            ]
            seen = ""
            for path in paths:
                html = (await client.get(path)).text
                seen += html
                assert "<script>" not in html, path
                assert "<img" not in html, path
                assert "\x1b" not in html, path
                assert "\u202e" not in html, path
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in seen
            text = (await client.get("/api/events")).text
            assert "\\u202e" not in text.replace("\\\\u202e", "")

    in_service(test)


@pytest.mark.slow
def test_of_a_hundred_thousand_stored_runs_a_page_is_shown(tmp_path: Path) -> None:
    async def main() -> None:
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        await _fill(url, 100_000)
        async with ActorSystem() as system:
            engine = OrchestrationEngine(EngineConfig(state_store=url, persist_state=True))
            transport = httpx.ASGITransport(observer_app(system, engine), client=("127.0.0.1", 1))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost"
            ) as client:
                found = await get(client, "/api/runs", state="failed", name="w1")
                assert len(found["rows"]) == 50
                assert {(one["state"], one["name"]) for one in found["rows"]} == {("failed", "w1")}
                assert found["counts"]["completed"] == {"count": 100, "more": True}
                following = await get(client, "/api/runs", page=found["next"])
                assert following["rows"]
                assert (await client.get("/runs")).text.count('class="id"') == 50
            await engine.stop()

    asyncio.run(main())


async def _fill(url: str, runs: int) -> None:
    store = open_store(url)
    await store.open()
    owner = await store.register("earlier", 1.0)
    failures: list[Any] = []
    for number in range(runs):
        state = "failed" if number % 20 == 1 else "completed"
        run = NewRun(f"r{number}", f"w{number % 2}", "h", "{}", state=state)
        store.submit_run(owner, run, failures.append)
        if number % 5_000 == 0:
            await store.flush()
    await store.flush()
    await store.close()
    assert not any(failures)


def test_what_waits_for_people_is_seen_first_and_in_the_list(in_service: Any) -> None:
    async def test(service: Service) -> None:
        run = await service.engine.start_workflow("order", {})
        await service.run_until(run, "waiting")
        done = await service.engine.start_workflow("bad", {})
        await service.run_until(done, "failed")
        async with service.client() as client:
            rows = {row["id"]: row for row in (await get(client, "/api/runs", details=1))["rows"]}
            assert rows[run]["waits"] == ["allow"]
            assert rows[run]["progress"] == 50
            assert "progress" not in rows[done]
            first = (await client.get("/")).text
            assert "Waits for people" in first
            assert f"/runs/{run}" in first
            listed = (await client.get("/runs")).text
            assert "waits for <b>" in listed
            assert '<progress class="short" max="100" value="50"' in listed

    in_service(test)
