"""The observer in a real browser: what assistive technology finds in it, and the keyboard alone."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from observed_service import Service

from agenticaiframework.observer import serve_observer

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "pictures"))

if not os.environ.get("AGENTICAI_TEST_BROWSER"):
    pytest.skip("asked for with AGENTICAI_TEST_BROWSER=1", allow_module_level=True)
pytest.importorskip("axe_core_python")

from chromium import Browser, browser

SIZES = {"phone": (390, 844, 1.0), "laptop": (1366, 850, 1.0)}
RUN_AXE = """axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(
    one => one.impact + ' ' + one.id + ': ' + one.nodes.map(node => node.html.slice(0, 200)).join(' | ')))"""
FOCUS = """(() => { const e = document.activeElement; const s = getComputedStyle(e);
    return [(e.textContent || e.name || '').trim().slice(0, 30), e.tagName,
            s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0]; })()"""


def at_a_browser(in_service: Any, test: Callable[[Browser, str, dict[str, str]], None]) -> None:
    """Run *test* in a thread with a browser, the address of an observer, and its pages by name."""

    async def main(service: Service) -> None:
        run_id = await service.engine.start_workflow("order", {"n": 1}, labels={"tenant": "a"})
        failed = await service.engine.start_workflow("bad", {})
        await service.run_until(run_id, "waiting")
        await service.run_until(failed, "failed")
        await service.engine.schedule("nightly", "order", every_s=3600)
        service.root.child("waiting").tell({"a": 1})
        service.root.child("failing").tell("no")
        service.system.dead_letter({"a": 1}, "nobody", "noproc")
        clerk = service.root.child("desk/clerk").ref.pid
        pages = {
            "overview": "", "tree": "tree", "actors": "actors", "actor": f"actors/{clerk}",
            "none": "actors?q=nobody", "gone": "actors/999999", "runs": "runs",
            "run": f"runs/{run_id}", "failed run": f"runs/{failed}", "models": "models",
            "events": "events", "queues": "queues", "letters": "letters", "system": "system", "search": "search?q=c",
            "answer": f"act?action=answer&target={run_id}&question=pay/allow&back=/runs/{run_id}",
        }  # fmt: skip
        async with serve_observer(service.system, service.engine, port=0, actions=True) as url:

            def drive() -> None:
                with browser() as one:
                    test(one, url.rstrip("/") + "/", pages)

            await asyncio.to_thread(drive)

    in_service(main)


def live(one: Browser) -> None:
    said_live = "document.getElementById('link').dataset.state === 'on'"
    assert one.until(said_live, 10), one.complaints()


def test_no_page_has_what_axe_calls_a_violation(in_service: Any) -> None:
    script = resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
    found: dict[str, list[str]] = {}

    def test(one: Browser, url: str, pages: dict[str, str]) -> None:
        one.command(
            "Page.setBypassCSP", enabled=True
        )  # axe is a script that the page did not bring
        for name, path in pages.items():
            for size, theme in (("laptop", "light"), ("phone", "dark")):
                one.show(url + path, SIZES[size], theme)
                one.script(f"{script};0")
                said = one.script(RUN_AXE)
                if said:
                    found[f"{name}, {size}, {theme}"] = said

    at_a_browser(in_service, test)
    assert found == {}, json.dumps(found, indent=1)


def test_live_updates_leave_the_focus_and_the_scrolling_alone(in_service: Any) -> None:
    def test(one: Browser, url: str, pages: dict[str, str]) -> None:
        one.show(url + pages["run"], (390, 300, 1.0), "light")
        live(one)
        one.script("document.querySelector('.waits a').focus(); scrollTo(0, 150); 0")
        before = one.script("[document.activeElement.textContent, scrollY]")
        assert before == ["Answer", 150]
        one.script("window.mark = document.querySelector('#part-run_head .under'); 0")
        changed = "new Promise(done => new MutationObserver(() => done(true)).observe(" \
            "document.querySelector('main'), {subtree: true, childList: true, characterData: true}))"  # fmt: skip
        assert one.script(changed)  # "began 3 s ago" has become 4
        assert one.script("[document.activeElement.textContent, scrollY]") == before

    at_a_browser(in_service, test)


def test_a_question_is_answered_with_the_keyboard_alone(in_service: Any) -> None:
    def test(one: Browser, url: str, pages: dict[str, str]) -> None:
        one.show(url + pages["run"], SIZES["laptop"], "light")
        live(one)
        seen: list[str] = []
        for _ in range(60):
            one.press("Tab")
            text, _tag, visible = one.script(FOCUS)
            seen.append(text)
            assert visible, f"the focus on {text!r} cannot be seen"
            if text == "Answer":
                break
        assert seen[0] == "Skip to the content"
        assert {"Cancel", "Send signal"} <= set(seen)
        one.press("Enter")
        assert one.until("location.pathname.endsWith('/act') && document.readyState === 'complete'")
        one.script("document.querySelector('textarea').focus(); 0")
        one.command("Input.insertText", text='{"ok": true}')
        for _ in range(3):
            one.press("Tab")
            if one.script(FOCUS)[0] == "Answer":
                break
        one.press("Enter")
        assert one.until("location.pathname.includes('/runs/')")
        assert one.until("document.querySelector('main').textContent.includes('completed')")
        assert one.script("document.querySelector('.waits') === null")

    at_a_browser(in_service, test)
