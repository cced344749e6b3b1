"""Okapi BM25: how well texts answer a question, by their rare words. Texts of equal standing; no index is kept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from app.domain.sentences import words

SATURATION, LENGTH = 1.5, 0.75


def scores(question: str, texts: Sequence[str]) -> list[float]:
    """One figure for each text, 0.0 where it shares no word with the question."""
    counted = [Counter(words(text)) for text in texts]
    lengths = [sum(counts.values()) for counts in counted]
    average = (sum(lengths) / len(lengths) if lengths else 0.0) or 1.0
    found = Counter(word for counts in counted for word in counts)
    rarity = {
        word: math.log(1 + (len(texts) - found[word] + 0.5) / (found[word] + 0.5)) for word in set(words(question))
    }
    return [
        sum(
            weight
            * counts[word]
            * (SATURATION + 1)
            / (counts[word] + SATURATION * (1 - LENGTH + LENGTH * length / average))
            for word, weight in rarity.items()
            if word in counts
        )
        for counts, length in zip(counted, lengths, strict=True)
    ]
