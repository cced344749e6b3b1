"""The promises of Documents, with a folder of them."""

import os

import pytest

from app.domain.errors import ToolTrouble
from app.infrastructure.search_documents import DocumentsSearch


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "documents"
    (folder / "deep").mkdir(parents=True)
    (folder / "tides.md").write_text("# Tides\n\nThe tide comes twice a day. The moon pulls it.\n\nTide tables help.")
    (folder / "deep" / "cranes.txt").write_text("Cranes lift cargo. One crane works at every tide.")
    (folder / "cooking.txt").write_text("Boil the pasta for nine minutes.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    return folder


async def test_a_folder_is_ranked_and_what_cannot_be_read_is_named(folder):
    found = await DocumentsSearch(folder).find("tide", 5)
    assert [(hit.url, hit.title) for hit in found.hits] == [("tides.md", "Tides"), ("deep/cranes.txt", "cranes")]
    assert found.hits[0].snippet == "Tide tables help."
    assert "The moon pulls it." in (found.hits[0].text or "")
    assert found.missing == ("Of the documents, broken.pdf could not be read.",)


async def test_a_changed_document_is_read_again_and_a_removed_one_forgotten(folder):
    search = DocumentsSearch(folder)
    assert (await search.find("zebra", 5)).hits == ()
    (folder / "tides.md").write_text("Zebras have stripes, and no tide.")
    os.utime(folder / "tides.md", (1, 1))
    (folder / "deep" / "cranes.txt").unlink()
    assert [hit.url for hit in (await search.find("zebra tide", 5)).hits] == ["tides.md"]


async def test_links_out_of_the_folder_are_not_followed(folder, tmp_path):
    (tmp_path / "secret.txt").write_text("The tide of secrets.")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert "link.txt" not in [hit.url for hit in (await DocumentsSearch(folder).find("tide secrets", 5)).hits]


async def test_a_folder_that_is_not_there_is_trouble(tmp_path):
    with pytest.raises(ToolTrouble):
        await DocumentsSearch(tmp_path / "none").find("tide", 5)
