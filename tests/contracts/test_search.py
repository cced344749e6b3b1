"""The promises of Search, against every adapter; the far sides speak the providers' protocols, and lie."""

import json

import pytest

from app.domain.errors import ToolRefused, ToolTrouble
from app.infrastructure.search_combined import CombinedSearch
from app.infrastructure.search_newsapi import NewsApiSearch
from app.infrastructure.search_searxng import SearxngSearch
from app.infrastructure.search_serpapi import SerpApiSearch
from app.infrastructure.search_wikipedia import WikipediaSearch
from tests.contracts.outside_fixtures import client, far, outside
from tests.far_side import far_side, hang, reply, reset_after_body
from tests.providers import KEY, newsapi, searxng, serpapi, wikipedia

__all__ = ["client", "far", "outside"]

RESULTS = (
    ("https://a.test/1", "Tides &amp; ports", "The <em>tide</em> comes twice a day."),
    ("https://b.test/2", "Harbours", "A harbour shelters ships."),
    ("https://c.test/3", "Ships", "Ships float."),
)
SPEAK = {"searxng": searxng, "wikipedia": wikipedia, "newsapi": newsapi, "serpapi": serpapi}


def search_of(kind, outside, url, key=KEY):
    return {
        "searxng": lambda: SearxngSearch(outside, url + "/"),
        "wikipedia": lambda: WikipediaSearch(outside, url, "callslip/test (+http://localhost)"),
        "newsapi": lambda: NewsApiSearch(outside, key, url),
        "serpapi": lambda: SerpApiSearch(outside, key, url),
    }[kind]()


@pytest.fixture(params=SPEAK)
def kind(request):
    return request.param


@pytest.fixture
def search(kind, outside, far):
    return search_of(kind, outside, far.url)


async def test_hits_come_in_the_far_sides_order_as_plain_text(kind, search, far):
    far.will(SPEAK[kind](*RESULTS))
    found = await search.find("tides in harbours", 10)
    assert [(hit.url, hit.title) for hit in found.hits] == [
        ("https://a.test/1", "Tides & ports"),
        ("https://b.test/2", "Harbours"),
        ("https://c.test/3", "Ships"),
    ]
    assert found.hits[0].snippet == "The tide comes twice a day."
    assert found.missing == ()


async def test_there_are_never_more_than_asked_for(kind, search, far):
    far.will(SPEAK[kind](*RESULTS))
    assert len((await search.find("tides", 2)).hits) == 2


async def test_finding_nothing_is_no_error(kind, search, far):
    far.will(SPEAK[kind]())
    assert (await search.find("zxqv", 5)).hits == ()


async def test_a_passing_failure_is_tried_again(kind, search, far):
    far.will(reply(503), SPEAK[kind](*RESULTS))
    assert len((await search.find("tides", 5)).hits) == 3


@pytest.mark.parametrize(
    "behaviour", [reply(500), hang, reset_after_body, reply(200, "<html>Log in</html>"), reply(200, "[]")]
)
async def test_a_far_side_that_fails_or_talks_nonsense_is_trouble(search, far, behaviour):
    far.will(behaviour)
    with pytest.raises(ToolTrouble):
        await search.find("tides", 5)


async def test_results_of_the_wrong_shape_are_left_out(kind, search, far):
    bad = [("javascript:alert(1)", "x", "y"), (None, "x", "y"), ("https://ok.test/", None, 7), ("http://[", "x", "y")]
    far.will(SPEAK[kind](*bad))
    hits = (await search.find("tides", 5)).hits
    assert [(hit.url, hit.title, hit.snippet) for hit in hits] == [("https://ok.test/", "https://ok.test/", "")]


@pytest.mark.parametrize("keyed", ["newsapi", "serpapi"])
async def test_a_wrong_key_is_refused_and_never_shown(outside, far, keyed):
    far.will(SPEAK[keyed](*RESULTS))
    wrong = "wrong-key-9876543210"
    with pytest.raises(ToolRefused) as caught:
        await search_of(keyed, outside, far.url, wrong).find("tides", 5)
    assert "key" in str(caught.value)
    assert wrong not in str(caught.value)
    assert len(far.receipts) == 1


async def test_a_refusal_with_status_200_is_a_refusal(outside, far):
    far.will(reply(200, json.dumps({"status": "error", "code": "x", "message": f"Bad parameter {KEY}"})))
    with pytest.raises(ToolRefused, match=r"Bad parameter \*\*\*"):
        await search_of("newsapi", outside, far.url).find("tides", 5)
    far.will(reply(200, json.dumps({"error": "Your account has run out of searches."})))
    with pytest.raises(ToolRefused, match="run out of searches"):
        await search_of("serpapi", outside, far.url).find("tides", 5)


async def test_a_wikipedia_that_is_overloaded_says_so_with_status_200(outside, far):
    far.will(reply(200, json.dumps({"error": {"code": "maxlag", "info": "Waiting for a database"}})))
    with pytest.raises(ToolTrouble, match="Waiting for a database"):
        await search_of("wikipedia", outside, far.url).find("tides", 5)


async def test_engines_of_searxng_that_did_not_answer_are_named(outside, far):
    far.will(searxng(*RESULTS, silent=("duckduckgo",)))
    assert (await search_of("searxng", outside, far.url).find("tides", 5)).missing == (
        "SearXNG had no answer from duckduckgo.",
    )


async def test_several_places_are_asked_together_and_their_best_come_first(outside, far):
    async with far_side() as other:
        far.will(searxng(*RESULTS))
        other.will(newsapi(("https://news.test/1", "News", "New."), ("https://a.test/1", "Again", "The same page.")))
        both = CombinedSearch([search_of("searxng", outside, far.url), search_of("newsapi", outside, other.url)])
        found = await both.find("tides", 3)
    assert [hit.url for hit in found.hits] == ["https://a.test/1", "https://news.test/1", "https://b.test/2"]


async def test_a_place_that_fails_among_several_is_named_and_the_others_count(outside, far):
    async with far_side() as broken:
        far.will(searxng(*RESULTS))
        broken.will(reply(503))
        both = CombinedSearch([search_of("newsapi", outside, broken.url), search_of("searxng", outside, far.url)])
        found = await both.find("tides", 5)
    assert len(found.hits) == 3
    assert found.missing == ("NewsAPI answered 503.",)


async def test_when_no_place_answers_it_is_trouble_if_any_may_answer_later(outside, far):
    async with far_side() as refusing:
        far.will(reply(503))
        refusing.will(reply(401))
        places = [search_of("newsapi", outside, refusing.url), search_of("searxng", outside, far.url)]
        with pytest.raises(ToolTrouble):
            await CombinedSearch(places).find("tides", 5)
        with pytest.raises(ToolRefused):
            await CombinedSearch(places[:1]).find("tides", 5)


async def test_without_any_place_it_says_which_settings_there_are():
    found = await CombinedSearch([]).find("tides", 5)
    assert found.hits == ()
    assert "SEARXNG_URL" in found.missing[0]
