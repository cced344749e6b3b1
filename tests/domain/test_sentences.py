"""Sentences: where they end, and whether a source contains what one claims."""

import pytest

from app.domain.sentences import split, supports, words

SOURCE = """The Port of Rotterdam handled 436.7 million tonnes of cargo in 2024, slightly less than the year before.
Containers grew by 2.5 percent. Dr. Anna Visser, who leads the statistics office, did not expect the growth to last.

Coal fell by a third because two power stations closed."""


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. Visser came at 5 p.m. and left.", ["Dr. Visser came at 5 p.m. and left."]),
        ("It rose by 2.5 percent. J. Smith said so.", ["It rose by 2.5 percent.", "J. Smith said so."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("A line\nthat goes on. Next.\n\nA heading\n\nText", ["A line that goes on.", "Next.", "A heading", "Text"]),
        ("第一句。第二句。", ["第一句。", "第二句。"]),
        ("  \n\n ", []),
    ],
)
def test_a_text_is_split_where_its_sentences_end(text, sentences):
    assert split(text) == sentences


def test_words_are_compared_by_their_beginnings_and_without_the_common_ones():
    assert words("The containers and a container; containing 5 x") == ["contai", "contai", "contai", "5"]


@pytest.mark.parametrize(
    "claim",
    [
        "Containers grew by 2.5 percent.",
        "In 2024 Rotterdam handled 436.7 million tonnes.",
        "The growth is not expected to last, said Anna Visser.",
        "Coal fell by one third because power stations closed.",
        "Containers grew by 2.5 percent. Dr. Anna Visser, who leads the statistics office",
    ],
)
def test_a_claim_that_a_source_contains_is_supported(claim):
    assert supports(SOURCE, claim)


@pytest.mark.parametrize(
    "claim",
    [
        "Containers grew by 3.5 percent.",  # another number
        "In 2024 Hamburg handled 436.7 million tonnes of cargo.",  # another name
        "Containers did not grow by 2.5 percent.",  # denied
        "Dr. Anna Visser, who leads the statistics office, expects the growth to last.",  # the denial is gone
        "Coal imports recovered thanks to new steel plants.",  # other words
        "In 2024 two power stations closed.",  # the number stands far from it
        "Rotterdam is 1,000 years old.",
        "It is so.",  # says nothing that could be found
        "",
    ],
)
def test_a_claim_that_a_source_does_not_contain_is_not(claim):
    assert not supports(SOURCE, claim)


def test_a_number_is_the_same_however_it_is_grouped():
    assert supports("The port moved 1,200 ships.", "1200 ships were moved by the port.")
    assert supports("Die Menge wuchs um 2,5 Prozent.", "Die Menge wuchs stark, um 2.5 Prozent.")
    assert not supports("The volume grew by 2.5 percent.", "The volume grew strongly, by 25 percent.")
