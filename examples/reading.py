"""The parts of `research.yaml` that need no model: they find what the pages say, and check a draft.

The small model writes fluently and knows little. So what is said comes from `pages/`, and a sentence of
the draft stays in the report only if a page says the same.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parent / "pages"
FIRST, MORE = 4, 6
"""How many sentences are found, at first and when gaps are filled."""

IN_EVERY = """a about an analyze and are as at be by did do does for from had has have how in is it its many of
on or so that the their them they this to was were what when where which who why will with"""
COMMON = frozenset(IN_EVERY.split())


def sentences() -> Iterator[tuple[str, str]]:
    """Yield every sentence of the pages with its source: ``rivers 3``."""
    for page in sorted(PAGES.glob("*.md")):
        lines = [line for line in page.read_text("utf-8").splitlines() if line[:1] not in ("", "#")]
        for number, line in enumerate(lines, 1):
            yield f"{page.stem} {number}", line


def words(text: str) -> set[str]:
    """Return what a sentence is about: its words, without endings and without those of every sentence.

    >>> sorted(words("Why do the rivers bend?"))
    ['bend', 'river']
    """
    found = re.findall(r"[a-z]+|\d[\d,.]*\d|\d", text.lower())
    return {re.sub(r"(?<=..)(ing|ies|es|s|ed)$", "", word) for word in found if word not in COMMON}


def classify(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the page that the question is about, or ``other``."""
    wanted = words(asked(task))
    known = list(sentences())
    count: dict[str, int] = {}
    for _, line in known:
        for word in words(line):
            count[word] = count.get(word, 0) + 1
    # A page is as near as its sentences together; a word counts for more that stands in few of them.
    pages: dict[str, float] = {}
    for source, line in known:
        page = source.rpartition(" ")[0]
        said = words(line) | words(page)
        pages[page] = pages.get(page, 0) + sum(1 / count.get(word, 1) for word in wanted & said)
    best = max(pages, key=lambda page: pages[page])
    return {"category": best if pages[best] else "other"}


def find(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page of the question's category says to it, with sources; more when asked again."""
    question, category = asked(task), str(task.get("category"))
    wanted = words(question)
    of_page = [(source, line) for source, line in sentences() if source.startswith(f"{category} ")]
    # What a page says first it holds for most important.
    near = {source: len(wanted & words(line)) - n / 2 for n, (source, line) in enumerate(of_page)}
    ranked = sorted(near, key=lambda source: -near[source])
    chosen = ranked[: FIRST if task.get("action") == "gather_info" else MORE]
    facts = [f"{line} [{source}]" for source, line in of_page if source in chosen]
    return {"question": question, "facts": facts}


def weigh(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the question with the three facts that say most: those are what the report is written from."""
    previous = task.get("previous") or task
    question = asked(task)
    facts = [str(fact) for fact in previous.get("facts") or ()]
    return {"question": question, "main facts": [fact.rpartition(" [")[0] for fact in facts[:3]]}


def asked(task: Mapping[str, Any]) -> str:
    """Return the question in what an agent was given: under one of the names that it has."""
    names = ("question", "topic", "request", "query")
    return next((str(task[name]) for name in names if task.get(name)), "")


def check(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report: what of the draft the facts say too, and the facts with their sources."""
    facts = [str(fact) for fact in task.get("facts") or ()]
    draft = str(task.get("draft") or "")
    if not facts:
        topics = ", ".join(sorted(page.stem for page in PAGES.glob("*.md")))
        report = f"The pages say nothing about that. They are about: {topics}."
        return {"final_report": report, "approved": True}
    kept = [line for line in split(draft) if any(says(fact, line) for fact in facts)]
    said = len(split(draft))
    lines = [*(["In short: " + " ".join(kept), ""] if kept else []), "What the pages say:"]
    lines += [f"- {fact}" for fact in facts]
    if len(kept) < said:
        lines += [
            "",
            f"Left out of the draft: {said - len(kept)} of {said} sentences, which no page says.",
        ]
    return {"final_report": "\n".join(lines), "approved": True}


def split(text: str) -> list[str]:
    """Return the sentences of a draft that say something: a question that it repeats does not."""
    whole = re.sub(r"\[[a-z]+ \d+\]", "", text)
    lines = (line.strip() for line in re.split(r"(?<=[.!?])\s+|\n+", whole))
    return [line for line in lines if len(words(line)) > 2 and not line.endswith("?")]


def says(fact: str, sentence: str) -> bool:
    """Tell whether *fact* says what *sentence* says: nearly all of its words, with each number and "not"."""
    fact = fact.rpartition(" [")[0]
    inside, outside = words(sentence) & words(fact), words(sentence) - words(fact)
    turned = any(word[0].isdigit() or word in ("not", "no", "never", "t") for word in outside)
    return not turned and len(inside) >= 5 * len(outside)
