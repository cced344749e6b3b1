"""Research on real parts: documents in a folder, sentences quoted from them, keywords by the library."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import Invalid, ToolRefused, ToolTrouble
from app.domain.models import Job, JobStatus
from app.domain.tools import Found, Hit, LanguageModel, Page, PageReader, Search
from app.infrastructure.language_model_offline import ExtractiveWriter
from app.infrastructure.search_documents import DocumentsSearch
from app.workflows.research import WORKFLOW, alike, keywords_of
from tests.contracts.step_stage import StepStage

OWLS = (
    "Owls are birds of prey that hunt mostly at night. Barn owls live in old barns and in church towers all over Europe."
    " The silent flight of owls comes from feathers that are soft at their edges. A barn owl eats a thousand mice a year."
)
TIDES = "Tides rise and fall twice a day along most coasts, because the moon pulls at the water of the oceans."
NIGHT = (
    "Hunters of the night rely on their ears. Owls hear a mouse under the snow, for their ears sit at different heights."
    " Bats use echoes instead. Owls turn their heads to find where a sound comes from."
)


class Links:
    """A search whose hits must still be read."""

    def __init__(self, *names: str) -> None:
        self._names = names

    async def find(self, query: str, limit: int) -> Found:
        hits = [Hit(url=f"http://{name}.test", title=name, snippet=f"What {name} says about {query} in short.") for name in self._names]  # fmt: skip
        return Found(hits=tuple(hits[:limit]), missing=("The library did not answer.",))


class Shelf:
    """Reads what stands on it; what does not stand there fails as it is told to."""

    def __init__(self, **texts: str | Exception) -> None:
        self._texts = texts

    async def read(self, url: str) -> Page:
        text = self._texts[url.removeprefix("http://").removesuffix(".test")]
        if isinstance(text, Exception):
            raise text
        return Page(url=url, title="", text=text)


def stage(search: Search, reader: PageReader | None = None) -> StepStage:
    tools = {Search: search, PageReader: reader or Shelf(), LanguageModel: ExtractiveWriter()}
    return StepStage(WORKFLOW.steps, tools=tools)


def data_of(job: Job) -> dict[str, Any]:
    assert job.status is JobStatus.SUCCESS, job.error
    assert isinstance(job.result.data, dict)
    return job.result.data


async def test_documents_become_articles_keywords_and_a_synthesis_that_names_its_sources(tmp_path: Path) -> None:
    texts = {"owls.txt": OWLS, "night.txt": NIGHT, "copy.txt": OWLS + " The end.", "tides.txt": TIDES}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    job = await stage(DocumentsSearch(tmp_path)).ran(topic="  how owls\n hunt ", articles=5)
    data = data_of(job)
    articles = {article["url"]: article for article in data["processed_articles"]}
    assert job.result.message == "2 articles about how owls hunt"
    assert data["total_articles_processed"] == len(articles) == 2
    assert articles["copy.txt"]["same"] == ["owls.txt"]
    assert articles["night.txt"]["text_hash"] == hashlib.sha256(NIGHT.encode()).hexdigest()
    assert all(
        article["summary"] and article["published_at"] and "text" not in article for article in articles.values()
    )
    assert any("owls" in keyword for keyword in data["top_keywords"])
    numbers = {article["number"]: texts[url] for url, article in articles.items()}
    assert data["synthesis"]
    for sentence in data["synthesis"]:
        assert any(sentence["text"] in numbers[number] for number in sentence["sources"])


async def test_a_page_that_cannot_be_read_is_stood_for_by_what_the_search_quoted() -> None:
    reader = Shelf(a=NIGHT, b=ToolTrouble("away"), c=ToolRefused("no text"))
    data = data_of(await stage(Links("a", "b", "c"), reader).ran(topic="owls", articles=3))
    assert [(one["url"], one["whole"]) for one in data["processed_articles"]] == [
        ("http://a.test", True),
        ("http://b.test", False),
        ("http://c.test", False),
    ]
    assert data["processed_articles"][1]["summary"] == "What b says about owls in short."
    assert data["missing"] == ["The library did not answer."]


async def test_nothing_found_fails_in_words_that_say_who_did_not_answer() -> None:
    job = await stage(Links()).ran(topic="owls", articles=3)
    assert job.error is not None
    assert job.error.detail == ("step 2 (Gathering): Nothing was found about this topic. The library did not answer.")


async def test_articles_without_any_text_fail_in_words() -> None:
    job = await stage(Links("a"), Shelf(a=" ")).ran(topic="owls", articles=1)
    assert job.error is not None
    assert job.error.detail == (
        "step 3 (Processing): None of the articles that were found has a text that can be read."
    )


def test_near_identical_texts_stand_together_and_others_apart() -> None:
    assert alike([OWLS, TIDES, OWLS + " And more.", NIGHT]) == [[2, 0], [1], [3]]
    assert alike(["", "one", "one", "two"]) == [[0], [1, 2], [3]]


def test_keywords_do_not_reach_across_a_comma_or_a_common_word() -> None:
    found = keywords_of(["Perovskite solar cells, cheap glass and thin film are made of lead."])
    assert found[0] == "perovskite solar cells"
    assert set(found) == {"perovskite solar cells", "cheap glass", "thin film", "made", "lead"}


@pytest.mark.parametrize("params", [{}, {"topic": " "}, {"topic": "x" * 301}, {"topic": "owls", "articles": 99}])
def test_a_topic_is_asked_for(params: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        WORKFLOW.check(params)
