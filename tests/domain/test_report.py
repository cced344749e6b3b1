"""Reports: sections, what a sentence must show, and Markdown that reads as the text it was made from."""

from datetime import UTC, datetime

import pytest
from markdown_it import MarkdownIt

from app.domain.report import (
    Checked,
    Section,
    Template,
    Written,
    checked,
    chosen,
    escaped,
    in_order_of_citation,
    markdown,
)
from app.domain.tools import Sentence, Source

TEMPLATE = Template(
    name="t",
    title="T",
    description="",
    sections=(
        Section(name="a", heading="First", instructions="one", sentences=3),
        Section(name="b", heading="Second", instructions="two"),
    ),
)


def source(number, url="https://s.test/x", title="A page", **more):
    return Source(number=number, url=url, title=title, text="", **more)


def test_without_wishes_all_sections_of_the_template_are_written():
    assert chosen(TEMPLATE, []) == TEMPLATE.sections


def test_sections_are_chosen_renamed_reordered_and_added():
    found = chosen(
        TEMPLATE,
        [{"name": "b"}, {"name": "a", "heading": "Again"}, {"name": "New"}, {"name": "x", "instructions": "y"}],
    )
    assert [(one.heading, one.instructions, one.sentences) for one in found] == [
        ("Second", "two", 6),
        ("Again", "one", 3),
        ("New", "New", 6),
        ("x", "y", 6),
    ]


def test_of_the_named_sources_those_count_that_exist_and_contain_the_claim():
    texts = {1: "Ships came to Oslo in 2011.", 2: "Ships left Bergen.", 3: "In 2011 many ships came to Oslo again."}
    said = Sentence(text="Ships came to Oslo in 2011.", sources=(3, 1, 2, 9, 1))
    assert checked(said, texts) == Checked(text="Ships came to Oslo in 2011.", sources=(3, 1))


@pytest.mark.parametrize(
    "text",
    [
        "*bold* _it_ `x` [a](b) <b> ![i](j) a|b ~~s~~ &amp; \\*",
        "- no list",
        "1. no list",
        "12) no list",
        "# no heading",
        "= x",
        "> q",
        "+ p",
        "2024 was a year.",
        "[^1]: x",
        "C:\\x",
    ],
)
def test_text_in_markdown_reads_as_the_text_it_was(text):
    tokens = MarkdownIt("commonmark").parse(escaped(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert "".join(child.content for child in tokens[1].children or ()) == text
    assert {child.type for child in tokens[1].children or ()} <= {"text", "text_special"}


def test_sources_are_numbered_as_they_are_cited_and_what_has_none_is_marked():
    sections = [
        Written(heading="First", sentences=(Checked(text="One.", sources=(7,)), Checked(text="Two.", sources=()))),
        Written(heading="Empty", sentences=()),
        Written(heading="Last", sentences=(Checked(text="Three.", sources=(2, 7)),)),
    ]
    at = datetime(2026, 5, 1, tzinfo=UTC)
    cited = in_order_of_citation(sections, [source(2, "notes.md"), source(7, "https://s.test/a b>", published_at=at)])
    assert [(number, one.number) for number, one in cited.items()] == [(1, 7), (2, 2)]
    assert markdown("T *x*", "a model", sections, cited, "en") == (
        "# T \\*x\\*\n\n"
        "> Sentences: 3; sources: 2; not found in their sources: 1. (a model)\n\n"
        "## First\n\nOne.[^1] Two. **[not found in its sources]**\n\n"
        "## Empty\n\n*Nothing in the sources fits this section.*\n\n"
        "## Last\n\nThree.[^2][^1]\n\n"
        "[^1]: [A page](<https://s.test/a%20b%3E>), 2026-05-01\n\n"
        "[^2]: A page (notes.md)\n"
    )
    assert "nicht in den Quellen gefunden" in markdown("T", "x", sections, cited, "de-AT")
