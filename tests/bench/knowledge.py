"""How well and how fast passages are found."""

import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from statistics import quantiles
from typing import Final

import yaml

from knowledge.index import Index
from schemas.events.knowledge import DocumentSaved
from schemas.record import Record, encode
from tests.bench.report import Report, Verdict
from tests.bench.session import Session, Size

QUESTIONS: Final[dict[str, list[tuple[str, str]]]] = yaml.safe_load(
    (Path(__file__).parent / "questions.yaml").read_text("utf-8")
)
"""Language -> passages with a question for each, written for this."""
PUBLIC: Final = {"faq-en": "faq-en.json", "faq-sv": "faq.json"}
"""Swedish Construction FAQ by Zaragoza AB, CC BY 4.0: 503 answers, which are searched by their questions."""
ONE_DOCUMENT: Final = 500
"""Passages."""
P99_MS: Final = 20.0


def public(name: str) -> list[tuple[str, str]]:
    """Passages with a question for each."""
    file = resources.files("zaragoza_construction_faq").joinpath("data", PUBLIC[name])
    return [(one["a"], one["q"]) for one in json.loads(file.read_text("utf-8"))["questions"]]


def filled(passages: Sequence[str]) -> Index:
    """An index with these passages in one collection."""
    index = Index()
    for start in range(0, len(passages), ONE_DOCUMENT):
        event = DocumentSaved(
            account="main",
            collection="all",
            document=f"d{start // ONE_DOCUMENT}",
            title="",
            media_type="text/plain",
            sha256="",
            passages=tuple(passages[start : start + ONE_DOCUMENT]),
            at=datetime.now(UTC),
        )
        index.apply(b"", encode(Record("", "", event.at, "", event)))
    return index


def recall(passages: Sequence[str], questions: Sequence[str], most: int = 5) -> float:
    """The share of the questions whose passage is among the first."""
    index = filled(passages)
    found = [[one.text for one in index.search("main", ["all"], question, most)] for question in questions]
    index.close()
    return sum(passage in texts for passage, texts in zip(passages, found, strict=True)) / len(questions)


def _made(texts: Iterable[str], number: int) -> list[str]:
    """Passages of about 1,000 characters, of the texts' words, as often as they are in them."""
    draw, words = random.Random(1), Counter(word for text in texts for word in text.split())
    choices, weights = list(words), list(words.values())
    return [" ".join(draw.choices(choices, weights, k=160))[:1_000] for _ in range(number)]


async def run(session: Session) -> Sequence[Report]:
    """recall@5 of each set, and the time of a search."""
    sets = {**QUESTIONS, **{name: public(name) for name in PUBLIC}}
    session.say("recall")
    rows: list[tuple[str, ...]] = []
    for name, pairs in sets.items():
        passages, questions = zip(*pairs, strict=True)
        rows.append(
            (name, str(len(pairs)), f"{recall(passages, questions, 1):.2f}", f"{recall(passages, questions):.2f}")
        )
    number = {Size.QUICK: 2_000, Size.NORMAL: 100_000, Size.FULL: 100_000}[session.size]
    pairs = [pair for one in sets.values() for pair in one]
    session.say(f"{number:,} passages")
    began = time.perf_counter()
    index = filled(_made((passage for passage, _ in pairs), number))
    built, times = time.perf_counter() - began, list[float]()
    for _, question in pairs:
        began = time.perf_counter()
        index.search("main", ["all"], question, 5)
        times.append((time.perf_counter() - began) * 1_000)
    index.close()
    cuts = quantiles(times, n=100)
    return [
        Report("knowledge: found", ("set", "questions", "recall@1", "recall@5"), tuple(rows)),
        Report(
            "knowledge: time",
            ("passages", "built in s", "median ms", "p99 ms", "longest ms"),
            ((f"{number:,}", f"{built:.0f}", f"{cuts[49]:.1f}", f"{cuts[98]:.1f}", f"{max(times):.1f}"),),
            verdicts=(Verdict("p99 of a search", cuts[98], P99_MS, " ms", most=True),),
        ),
    ]
