"""Sentences: where they end, which words carry them, and whether a source contains what one of them claims. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")  # noqa: RUF001 - apostrophes as they are typed and as they are set
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*\s+|[。！？]+[」』”]*\s*")  # noqa: RUF001 - the full stops of other scripts


def _set_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ABBREVIATIONS = _set_of(
    "approx bzw ca cf co corp d.h dept dr e.g ed eds et etc fig gen h i.e inc jr ltd m max min mr mrs ms no nr p pp"
    " prof resp rev s sen sr st u.a u.s usw v vgl vol vs z.b"
)
# Too common to say anything; of the languages that most reports are asked for in.
COMMON = _set_of(
    "a about after all also an and any are as at be been before being between both but by can could did do does during"
    " each for from had has have he her here his how i if in into is it its itself may might more most must of on or"
    " other our out over own she should so some such than that the their them then there these they this those through"
    " to too under up very was we were what when where which while who whom why will with would you your"
    " als am an auch auf aus bei bis das dass dem den der des die durch ein eine einem einen einer eines er es für hat"
    " haben ich ihr im in ist mit nach oder sein sich sie sind so über um und uns unter von vor war waren was wenn wer"
    " werden wie wird wir zu zum zur"
    " au aux avec ce ces cette dans de des du elle en est et eux il ils je la le les leur lui mais ont ou où par pas"
    " pour que qui sa ses son sont sur un une"
    " al como con del desde el ella entre es esta este fue ha han hay la las lo los más o para pero por se sin su sus"
    " un una y"
)
_DENIALS = _set_of(
    "no not never none neither nor without cannot hardly kein keine keinen keiner nicht nie niemals ohne"
    " jamais non sans aucun aucune ne ninguno nunca sin"
)
_STEM = 6  # inflection is at the end of words: their beginnings are compared
ENOUGH = 0.6


def split(text: str) -> list[str]:
    """The sentences of a text in their order, each on one line. A line that does not end like a sentence ends there
    too when the next begins a new paragraph."""
    return [sentence for paragraph in re.split(r"\n\s*\n", text) for sentence in _split(" ".join(paragraph.split()))]


def _split(paragraph: str) -> Iterator[str]:
    begin = 0
    for end in _END.finditer(paragraph):
        if _ends(paragraph[begin : end.start()], paragraph[end.end() :], end[0]):
            yield paragraph[begin : end.end()].strip()
            begin = end.end()
    if rest := paragraph[begin:].strip():
        yield rest


def _ends(before: str, after: str, mark: str) -> bool:
    if not mark.startswith("."):
        return True
    last = before.rsplit(" ", 1)[-1].lower().lstrip("(\"'“„«[")
    if last in _ABBREVIATIONS or (len(last) == 1 and last.isalpha()):
        return False
    return not after[:1].islower()


def words(text: str) -> list[str]:
    """The words of a text, in lower case and cut to their stems, without those that are too common to say anything."""
    return [
        word[:_STEM]
        for word in (match[0].casefold().replace("’", "'") for match in _WORD.finditer(text))  # noqa: RUF001
        if word not in COMMON and (len(word) > 1 or not word.isascii() or word.isdigit())
    ]


@dataclass(frozen=True, slots=True)
class Claim:
    """What must be found in a source for a sentence to stand on it."""

    words: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]
    denies: bool

    @classmethod
    def of(cls, sentence: str) -> Claim:
        """What a sentence claims. Names are words with a capital that do not begin it."""
        matches = list(_WORD.finditer(sentence))
        names = {match[0].casefold()[:_STEM] for match in matches[1:] if match[0][0].isupper()}
        return cls(
            words=frozenset(words(sentence)),
            numbers=frozenset(_numbers(sentence)),
            names=frozenset(names) - COMMON,
            denies=any(match[0].casefold() in _DENIALS or match[0].casefold().endswith("n't") for match in matches),
        )


def _numbers(text: str) -> Iterator[str]:
    """Every number in one form: 1,200 and 1.200 and 1200 are one, and so are 2.5 and 2,5."""
    return (re.sub(r"[.,](?=\d{3}(?!\d))", "", match[0]).replace(",", ".") for match in _NUMBER.finditer(text))


def supports(source: str, sentence: str) -> bool:
    """Whether the source contains what the sentence claims: literally, or in one of its sentences, with the next one,
    stand all the numbers and names, most of the other words, and a denial exactly where the claim has one.

    A comparison of words: it finds what was made up or moved between sources, and cannot tell every turned meaning.
    """
    wanted = " ".join(sentence.split()).casefold()
    if wanted and wanted in " ".join(source.split()).casefold():
        return True
    claim = Claim.of(sentence)
    facts = _facts(source)
    beside = ((one, facts[at + 1]) for at, one in enumerate(facts[:-1]))
    return bool(claim.words) and any(_stands(claim, window) for window in (*((one,) for one in facts), *beside))


@lru_cache(maxsize=64)  # every sentence of a report is held against the same few sources
def _facts(source: str) -> tuple[tuple[Claim, frozenset[str]], ...]:
    """What each sentence of a source says, and the stems of all its words."""
    return tuple((Claim.of(sentence), _stems(sentence)) for sentence in split(source))


def _stems(text: str) -> frozenset[str]:
    return frozenset(match[0].casefold()[:_STEM] for match in _WORD.finditer(text))


def _stands(claim: Claim, window: tuple[tuple[Claim, frozenset[str]], ...]) -> bool:
    if not claim.numbers <= frozenset().union(*(fact.numbers for fact, _ in window)):
        return False
    if not claim.names <= frozenset().union(*(stems for _, stems in window)):
        return False
    nearest = max((fact for fact, _ in window), key=lambda fact: len(claim.words & fact.words))
    shared = claim.words & frozenset().union(*(fact.words for fact, _ in window))
    return claim.denies == nearest.denies and len(shared) >= ENOUGH * len(claim.words)
