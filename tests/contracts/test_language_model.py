"""The promises of LanguageModel, against both writers; the provider is a far side that speaks OpenAI's protocol, and lies."""

import pytest

from app.domain.errors import ToolRefused, ToolTrouble
from app.domain.tools import Brief, Source
from app.infrastructure.language_model_offline import ExtractiveWriter
from app.infrastructure.language_model_pydantic_ai import PydanticAiModel
from tests.contracts.outside_fixtures import client, far, outside
from tests.far_side import reply, reset_after_body
from tests.providers import KEY, chat

__all__ = ["client", "far", "outside"]

TIDES = """The tide comes twice a day in most ports of the world. Sailors read it from a table.
It is caused by the moon. The moon pulls the sea towards itself, and the tide follows the moon."""
PORTS = """Rotterdam handled 436.7 million tonnes of cargo in 2024. Cranes in Rotterdam are driven by electricity.
The port of Rotterdam deepened its basins so that large ships can enter at every tide."""


def source(number, text, title="A page"):
    return Source(number=number, url=f"https://s.test/{number}", title=title, text=text)


def brief(**more):
    asked = {"topic": "tides in ports", "heading": "Overview", "instructions": "Say what the tide does in ports."}
    return Brief(**(asked | {"sources": [source(1, TIDES), source(2, PORTS)]} | more))


TRUE = [("The tide comes twice a day in most ports of the world.", [1])]


@pytest.fixture
async def provided(outside, far):
    far.will(chat(TRUE))
    model = PydanticAiModel(outside, "openai:gpt-5", openai_key=KEY, openai_url=f"{far.url}/v1")
    yield model
    await model.close()


@pytest.fixture(params=["offline", "provider"])
def model(request, provided):
    return ExtractiveWriter() if request.param == "offline" else provided


async def test_every_sentence_names_sources_and_only_existing_ones(model):
    draft = await model.write(brief())
    assert draft.sentences
    assert {number for sentence in draft.sentences for number in sentence.sources} <= {1, 2}
    assert all(sentence.sources for sentence in draft.sentences)


async def test_there_are_never_more_sentences_than_asked_for(model, far):
    far.will(chat(TRUE * 5))
    assert len((await model.write(brief(max_sentences=1))).sentences) == 1


async def test_it_has_a_name_to_show(model):
    assert model.name in {"openai:gpt-5", "quoted from the sources, not written by a model"}


async def test_the_offline_writer_quotes_word_for_word_what_fits_the_topic():
    draft = await ExtractiveWriter().write(brief(max_sentences=3))
    assert [(sentence.text, sentence.sources) for sentence in draft.sentences] == [
        ("The tide comes twice a day in most ports of the world.", (1,)),
        ("The moon pulls the sea towards itself, and the tide follows the moon.", (1,)),
        ("The port of Rotterdam deepened its basins so that large ships can enter at every tide.", (2,)),
    ]


async def test_the_offline_writer_says_nothing_twice_and_nothing_beside_the_topic():
    twice = [source(1, TIDES), source(2, TIDES.replace("most ports", "most harbours and ports"))]
    texts = [one.text for one in (await ExtractiveWriter().write(brief(sources=twice))).sentences]
    assert len([text for text in texts if "twice a day" in text]) == 1
    said = "The tide comes twice a day in most ports of the world."
    assert said not in [one.text for one in (await ExtractiveWriter().write(brief(said=[said]))).sentences]
    nothing = Brief(topic="zebras", heading="Zebras", instructions="Stripes", sources=[source(1, PORTS)])
    assert (await ExtractiveWriter().write(nothing)).sentences == ()
    assert (await ExtractiveWriter().write(brief(sources=[]))).sentences == ()


async def test_a_provider_is_told_the_sources_and_tells_what_it_took(provided, far):
    seen = []
    far.will(chat(TRUE, seen=seen))
    draft = await provided.write(brief(said=["Ports exist."]))
    assert (draft.usage.tokens_in, draft.usage.tokens_out) == (120, 30)
    told = str(seen[0]["messages"])
    assert "436.7 million tonnes" in told
    assert "- Ports exist." in told
    assert far.receipts[0].path == "/v1/chat/completions"


async def test_a_made_up_source_number_goes_back_to_the_model(provided, far):
    seen = []
    far.will(chat([("Made up.", [7])], TRUE, seen=seen))
    assert [one.sources for one in (await provided.write(brief())).sentences] == [(1,)]
    assert "There are no sources [7]" in str(seen[1]["messages"])
    far.will(chat([("Made up.", [7])]))
    with pytest.raises(ToolTrouble):
        await provided.write(brief())


async def test_a_wrong_key_is_refused_without_the_providers_words(outside, far):
    model = PydanticAiModel(outside, "openai:gpt-5", openai_key="another", openai_url=f"{far.url}/v1")
    far.will(chat(TRUE))
    with pytest.raises(ToolRefused, match="does not let us in") as caught:
        await model.write(brief())
    await model.close()
    assert KEY not in str(caught.value)
    assert len(far.receipts) == 1


@pytest.mark.parametrize(
    "behaviour", [reply(503), reply(200, '{"choices": []}'), reset_after_body, reply(200, "<html>")]
)
async def test_a_provider_that_fails_or_lies_is_trouble(provided, far, behaviour):
    far.will(behaviour)
    with pytest.raises(ToolTrouble):
        await provided.write(brief())


async def test_a_passing_failure_is_tried_again_once_by_us_and_not_by_the_library(provided, far):
    far.will(reply(503), chat(TRUE))
    assert (await provided.write(brief())).sentences
    assert len(far.receipts) == 2


async def test_a_model_that_nobody_knows_is_refused(outside):
    with pytest.raises(ToolRefused, match="LLM_MODEL=nobody:nothing"):
        await PydanticAiModel(outside, "nobody:nothing").write(brief())
