"""Writes without a model: it ranks the sentences of the sources and quotes them. It makes up nothing, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.sentences import Claim, split
from app.domain.tools import Brief, Draft, Sentence
from app.infrastructure.bm25 import scores

SHORTEST, LONGEST = 5, 60  # words of a sentence that can stand alone
ALIKE = 0.55  # share of words in common from which two sentences of the same facts say the same
SAME = 0.95
CANDIDATES = 300
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
    claim: Claim
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
    before = [Claim.of(text) for text in brief.said]
    left = sorted((quote for quote in _ranked(brief) if quote.score > 0), key=_best_first)[:CANDIDATES]
    while left and len(chosen) < brief.max_sentences:
        nearest = {id(quote): max((_alike(quote.claim, other) for other in before), default=0.0) for quote in left}
        left = [quote for quote in left if nearest[id(quote)] < SAME]
        if left:
            # What resembles what stands there already has to be so much better to come next.
            best = max(left, key=lambda quote: quote.score * (1 - nearest[id(quote)] / 2))
            left.remove(best)
            chosen.append(best)
            before.append(best.claim)
    chosen.sort(key=lambda quote: (quote.number, quote.place))  # as they stood, source by source
    return Draft(sentences=tuple(Sentence(text=quote.text, sources=(quote.number,)) for quote in chosen))


def _best_first(quote: _Quote) -> tuple[float, int, int]:
    return -quote.score, quote.number, quote.place


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
        _Quote(text, number, place, Claim.of(text), (want + topic) * (1 + FIRST * (1 - place / size)))
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


def _alike(one: Claim, other: Claim) -> float:
    """The share of words in common, from 0.0; from SAME on where they also tell of the same numbers and names."""
    share = len(one.words & other.words) / max(min(len(one.words), len(other.words)), 1)
    facts, others = one.numbers | one.names, other.numbers | other.names
    told = facts <= others or others <= facts
    return max(share, SAME) if told and share > ALIKE else min(share, SAME / 2)
