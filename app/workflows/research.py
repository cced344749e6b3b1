"""Research: articles about a topic, gathered, read, folded where they say the same, and brought together."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeAlias, cast

from pydantic import BaseModel, Field

from app.domain import sentences
from app.domain.errors import ToolRefused, ToolTrouble
from app.domain.models import Json
from app.domain.tools import Brief, Draft, Hit, LanguageModel, PageReader, Search, Source
from app.domain.work import Work
from app.workflows.declaration import local_workflow, step

Record: TypeAlias = dict[str, Any]  # an article between two steps: JSON

LONGEST_TEXT = 100_000
SHINGLE, ALIKE = 4, 0.7  # words in a row; the share of them that two texts have in common when they are the same
KEYWORDS, LONGEST_KEYWORD = 12, 3
TOKEN, END = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*|[^\w\s]"), "\n"


class Params(BaseModel):
    """What is to be looked into."""

    topic: Annotated[str, Field(title="Topic", min_length=1, max_length=300, pattern=r"\S")]
    articles: Annotated[int, Field(title="Articles at most", ge=1, le=30)] = 10


async def take(work: Work) -> Json:
    """What is searched for."""
    return {"topic": " ".join(str(work.params["topic"]).split())}


async def gather(work: Work, search: Search) -> Json:
    """What the searches found."""
    found = await search.find(_topic(work), limit=int(cast("int", work.params["articles"])))
    if not found.hits:
        raise ToolRefused(" ".join(["Nothing was found about this topic.", *found.missing]))
    return {"hits": [_record(hit) for hit in found.hits], "missing": list(found.missing)}


async def process(work: Work, reader: PageReader, model: LanguageModel) -> Json:
    """The articles, each once, with their summaries."""
    gathered = cast("Record", work.outputs["gather"])
    articles = [
        one for one in await asyncio.gather(*(_read(hit, reader) for hit in gathered["hits"])) if one["text"].strip()
    ]
    if not articles:
        raise ToolRefused("None of the articles that were found has a text that can be read.")
    await work.progress(0.4, f"{len(articles)} articles read")
    groups = await work.off_loop(alike, [article["text"] for article in articles])
    folded = [articles[first] | {"same": [articles[one]["url"] for one in others]} for first, *others in groups]
    for number, article in enumerate(folded, 1):
        article |= {"number": number, "text_hash": hashlib.sha256(article["text"].encode()).hexdigest()}
        article["summary"] = await _summary(work, article, model)
        await work.progress(0.4 + 0.6 * number / len(folded), f"{number} of {len(folded)} articles summed up")
    return cast("Json", folded)


async def synthesise(work: Work, model: LanguageModel) -> Json:
    """Keywords of all texts, and what they say together."""
    articles = cast("list[Record]", work.outputs["process"])
    keywords = await work.off_loop(keywords_of, [article["text"] for article in articles])
    brief = Brief(
        topic=_topic(work),
        heading="What the articles say",
        instructions="Bring together what these articles say about the topic, the most important first.",
        sources=[_source(article, article["number"]) for article in articles],
    )
    draft = await _written(work, brief, model)
    said: list[Json] = [{"text": one.text, "sources": list(one.sources)} for one in draft.sentences]
    return {"keywords": list(keywords), "synthesis": said, "written_by": model.name}


async def save(work: Work) -> Json:
    """What is kept as the result."""
    together = cast("Record", work.outputs["synthesise"])
    articles = cast("list[Record]", work.outputs["process"])
    data = {
        "processed_articles": [{name: one[name] for name in one if name != "text"} for one in articles],
        "top_keywords": together["keywords"],
        "total_articles_processed": len(articles),
        "synthesis": together["synthesis"],
        "written_by": together["written_by"],
        "missing": cast("Record", work.outputs["gather"])["missing"],
    }
    return {"message": f"{len(articles)} articles about {_topic(work)}", "data": data}


def alike(texts: Sequence[str]) -> list[list[int]]:
    """Indexes of the texts, those that say the same together; the longest of each group first, the groups in order."""
    shingles = [_shingles(text) for text in texts]
    groups: list[list[int]] = []
    for index in range(len(texts)):
        for group in groups:
            if _overlap(shingles[index], shingles[group[0]]) >= ALIKE:
                group.append(index)
                break
        else:
            groups.append([index])
    return [sorted(group, key=lambda index: -len(texts[index])) for group in groups]


def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    words = text.lower().split()
    return frozenset(tuple(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1)))


def _overlap(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    return len(one & other) / len(one | other)


def keywords_of(texts: Sequence[str]) -> list[str]:
    """The phrases that carry most of these texts, the heaviest first."""
    from rake_nltk import Metric, Rake  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to import, used in a child

    rake = Rake(
        stopwords=set(sentences.COMMON),
        sentence_tokenizer=sentences.split,
        word_tokenizer=_tokens,
        punctuations={END},
        ranking_metric=Metric.WORD_DEGREE,
        max_length=LONGEST_KEYWORD,
        include_repeated_phrases=False,
    )
    rake.extract_keywords_from_text("\n\n".join(texts))
    found: list[str] = rake.get_ranked_phrases()
    return [phrase for phrase in found if any(letter.isalpha() for letter in phrase)][:KEYWORDS]


def _tokens(sentence: str) -> list[str]:
    """Words, and an END for each sign that stands between two of them: no phrase reaches across it."""
    return [token if token[0].isalnum() else END for token in TOKEN.findall(sentence)]


def _topic(work: Work) -> str:
    return str(cast("Record", work.outputs["take"])["topic"])


def _record(hit: Hit) -> Record:
    published = hit.published_at.isoformat() if hit.published_at else None
    text = None if hit.text is None else hit.text[:LONGEST_TEXT]
    return {"url": hit.url, "title": hit.title, "snippet": hit.snippet, "published_at": published, "text": text}


async def _read(hit: Mapping[str, Any], reader: PageReader) -> Record:
    """The article behind a hit. Where it cannot be read, what the search quoted of it stands for it."""
    article = {name: hit[name] for name in ("url", "title", "published_at")} | {"whole": True, "text": hit["text"]}
    if article["text"] is not None:
        return article
    try:
        page = await reader.read(hit["url"])
    except (ToolRefused, ToolTrouble):
        return article | {"whole": False, "text": hit["snippet"]}
    published = page.published_at.isoformat() if page.published_at else hit["published_at"]
    return article | {"title": page.title or hit["title"], "published_at": published, "text": page.text[:LONGEST_TEXT]}


async def _summary(work: Work, article: Mapping[str, Any], model: LanguageModel) -> str:
    brief = Brief(
        topic=_topic(work),
        heading=article["title"],
        instructions="Sum up this article.",
        sources=[_source(article, 1)],
        max_sentences=3,
    )
    if work.time_left > timedelta():
        draft = await _written(work, brief, model)
        if draft.sentences:
            return " ".join(sentence.text for sentence in draft.sentences)
    return " ".join(sentences.split(article["text"])[:2])[:500]


async def _written(work: Work, brief: Brief, model: LanguageModel) -> Draft:
    draft = await model.write(brief)
    work.used(draft.usage)
    return draft


def _source(article: Mapping[str, Any], number: int) -> Source:
    published = datetime.fromisoformat(article["published_at"]) if article["published_at"] else None
    return Source(
        number=number, url=article["url"], title=article["title"], text=article["text"], published_at=published
    )


WORKFLOW = local_workflow(
    "research",
    "Research a topic",
    Params,
    [
        step("Input", take, weight=0.2),
        step("Gathering", gather),
        step("Processing", process, weight=5),
        step("Keywords and synthesis", synthesise, weight=2),
        step("Saving", save, weight=0.2),
    ],
)
