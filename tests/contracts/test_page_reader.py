"""The promises of PageReader, against a small web site that also misbehaves."""

import pytest

from app.domain.errors import ToolRefused, ToolTrouble
from app.infrastructure.http_client import build_client
from app.infrastructure.outside import Outside
from app.infrastructure.page_reader_web import WebPageReader
from tests.contracts.outside_fixtures import QUICK, client, far, outside
from tests.far_side import hang, reply
from tests.providers import website

__all__ = ["client", "far", "outside"]

PARAGRAPH = "The harbour was dredged in spring, and the larger ships came back before the summer had begun. " * 4
HTML = f"""<!doctype html><html><head><title>The harbour</title><meta name="date" content="2026-03-04"></head><body>
<nav><a href="/">Home</a> <a href="/about">About us</a></nav><article><h1>The harbour</h1><p>{PARAGRAPH}</p>
<p>{PARAGRAPH.replace("spring", "autumn")}</p></article><footer>Cookies, imprint</footer><script>alert("x")</script></body></html>"""
PAGES = {
    "/a": (200, "text/html; charset=utf-8", HTML.encode(), {}),
    "/moved": (301, "text/html", b"", {"Location": "/a"}),
    "/circle": (302, "text/html", b"", {"Location": "/circle"}),
    "/nowhere": (302, "text/html", b"", {}),
    "/to-file": (302, "text/html", b"", {"Location": "file:///etc/passwd"}),
    "/text": (200, "text/plain", "Notes\n\nÜber den Hafen.".encode(), {}),
    "/image": (200, "image/png", b"\x89PNG", {}),
    "/empty": (200, "text/html", b"<html><body></body></html>", {}),
}


@pytest.fixture
def reader(outside, far):
    far.will(website(PAGES))
    return WebPageReader(outside, "callslip/test")


async def test_a_page_is_its_article_without_what_stands_around_it(reader, far):
    page = await reader.read(f"{far.url}/a")
    assert page.title == "The harbour"
    assert page.text.count("The harbour was dredged in") == 8
    assert "About us" not in page.text
    assert "alert" not in page.text
    assert page.published_at is not None
    assert page.published_at.year == 2026


async def test_redirects_are_followed_and_the_asked_address_is_kept(reader, far):
    page = await reader.read(f"{far.url}/moved")
    assert page.url == f"{far.url}/moved"
    assert "dredged" in page.text


async def test_plain_text_is_read_too(reader, far):
    assert (await reader.read(f"{far.url}/text")).text.endswith("Über den Hafen.")


@pytest.mark.parametrize("path", ["/circle", "/nowhere", "/to-file", "/image", "/empty", "/missing"])
async def test_where_there_is_nothing_to_read_it_is_refused(reader, far, path):
    with pytest.raises(ToolRefused):
        await reader.read(f"{far.url}{path}")


@pytest.mark.parametrize("behaviour", [hang, reply(503)])
async def test_a_site_that_does_not_answer_is_trouble(reader, far, behaviour):
    far.will(behaviour)
    with pytest.raises(ToolTrouble):
        await reader.read(f"{far.url}/a")


async def test_private_addresses_are_not_connected_to_unless_allowed(far):
    far.will(website(PAGES))
    async with build_client(verify=True, ca_file=None, connections=2, allow_private=False) as guarded:
        reader = WebPageReader(Outside(guarded, QUICK), "callslip/test")
        for url in (f"{far.url}/a", far.url.replace("127.0.0.1", "localhost") + "/a", "http://169.254.169.254/latest"):
            with pytest.raises(ToolRefused, match="not public"):
                await reader.read(url)
    assert far.receipts == []
