"""Writes without a model: it ranks the sentences of the sources and quotes them. It makes up nothing, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.sentences import split, words
from app.domain.tools import Brief, Draft, Sentence
from app.infrastructure.bm25 import scores

SHORTEST, LONGEST = 5, 60  # words of a sentence that can stand alone
ALIKE = 0.55  # share of common words from which two sentences say the same
FIRST = 0.25  # how much the beginning of a source counts: texts say first what they are about
MOST = 20_000  # sentences that are looked at
_LEANING = (
    "and ",
    "but ",
    "or ",
    "this ",
    "that ",
    "these ",
    "those ",
    "he ",
    "she ",
    "it ",
    "they ",
    "such ",
    "however",
)


@dataclass(frozen=True, slots=True)
class _Quote:
    text: str
    number: int
    place: int
    size: int
    stems: frozenset[str]
    score: float


class ExtractiveWriter:
    """Every sentence of a draft stands word for word in the source that it names."""

    @property
    def name(self) -> str:
        return "quoted from the sources, not written by a model"

    async def write(self, brief: Brief) -> Draft:
        return await asyncio.to_thread(_draft, brief)


def _draft(brief: Brief) -> Draft:
    chosen: list[_Quote] = []
    said = [frozenset(words(text)) for text in brief.said]
    for quote in sorted(_ranked(brief), key=lambda quote: (-quote.score, quote.number, quote.place)):
        if len(chosen) == brief.max_sentences or quote.score <= 0:
            break
        if not any(_alike(quote.stems, other) for other in [*said, *(one.stems for one in chosen)]):
            chosen.append(quote)
    chosen.sort(key=lambda quote: (quote.number, quote.place))  # as they stood, source by source
    return Draft(sentences=tuple(Sentence(text=quote.text, sources=(quote.number,)) for quote in chosen))


def _ranked(brief: Brief) -> list[_Quote]:
    found = [
        (text, source.number, place, len(sentences))
        for source in brief.sources
        for sentences in [split(source.text)]
        for place, text in enumerate(sentences)
        if _stands_alone(text)
    ][:MOST]
    texts = [text for text, *_ in found]
    wanted = _scaled(scores(f"{brief.heading} {brief.instructions}", texts))
    topical = _scaled(scores(brief.topic, texts))
    return [
        _Quote(text, number, place, size, frozenset(words(text)), (want + topic) * (1 + FIRST * (1 - place / size)))
        for (text, number, place, size), want, topic in zip(found, wanted, topical, strict=True)
    ]


def _stands_alone(text: str) -> bool:
    return (
        SHORTEST <= len(text.split()) <= LONGEST
        and text[-1:] in ".!?…。！？"  # noqa: RUF001 - the full stops of other scripts
        and not text[:1].islower()
        and not text.lower().startswith(_LEANING)
    )


def _scaled(figures: Sequence[float]) -> list[float]:
    most = max(figures, default=0.0) or 1.0
    return [figure / most for figure in figures]


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) > ALIKE * max(min(len(one), len(other)), 1)
