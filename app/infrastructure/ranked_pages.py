"""Which of many texts answer a question best, as the hits of a search."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.sentences import split
from app.domain.tools import Hit, Page
from app.infrastructure.bm25 import scores

LONGEST_SNIPPET = 500
MOST_SENTENCES = 2000  # of one text, among which the one to show is chosen


def ranked(query: str, pages: Sequence[Page], limit: int) -> tuple[Hit, ...]:
    """At most `limit`, the best first; none that shares no word with the question. Computes: run it in a thread."""
    found = scores(query, [f"{page.title}\n{page.text}" for page in pages])
    best = sorted(zip(found, pages, strict=True), key=lambda pair: (-pair[0], pair[1].url))
    return tuple(_hit(page, query) for score, page in best[:limit] if score > 0)


def _hit(page: Page, query: str) -> Hit:
    sentences = split(page.text)[:MOST_SENTENCES]
    found = scores(query, sentences)
    snippet = sentences[max(range(len(sentences)), key=found.__getitem__)]
    return Hit(
        url=page.url,
        title=page.title,
        snippet=snippet[:LONGEST_SNIPPET],
        text=page.text,
        published_at=page.published_at,
    )
