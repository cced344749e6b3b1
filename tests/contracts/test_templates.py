"""The promises of Templates, with folders of them."""

import pytest

from app.domain.errors import ToolRefused
from app.infrastructure.report_templates import LARGEST, FolderTemplates

SECTION = '[[sections]]\nname = "facts"\nheading = "Facts"\n'


@pytest.fixture
def folder(tmp_path):
    for name in ("weekly", "daily"):
        (tmp_path / f"{name}.toml").write_text(SECTION)
    return tmp_path


def test_all_are_in_the_order_of_their_names(folder):
    assert [template.name for template in FolderTemplates(folder).all()] == ["daily", "weekly"]


def test_a_template_says_what_its_sections_are_to_say(folder):
    (section,) = FolderTemplates(folder).get("weekly").sections
    assert (section.name, section.heading, section.instructions) == ("facts", "Facts", "Facts")


def test_an_unknown_one_is_refused_and_the_ones_there_are_are_named(folder):
    with pytest.raises(ToolRefused, match="daily, weekly"):
        FolderTemplates(folder).get("monthly")


def test_of_two_with_one_name_the_later_folders_counts(folder, tmp_path_factory):
    own = tmp_path_factory.mktemp("own")
    (own / "daily.toml").write_text(SECTION.replace("Facts", "News"))
    assert FolderTemplates(folder, own).get("daily").sections[0].heading == "News"


@pytest.mark.parametrize(
    "content",
    ["", "sections = []", "[[sections]]\nname = 'x'", "sections = 1", "not toml", "#" * (LARGEST + 1), SECTION * 13],
    ids=["empty", "none", "without a heading", "of another type", "no TOML", "too large", "too many"],
)
def test_one_that_cannot_be_used_is_left_out_and_refused_in_words_by_name(folder, content):
    (folder / "weekly.toml").write_text(content)
    templates = FolderTemplates(folder)
    assert [template.name for template in templates.all()] == ["daily"]
    with pytest.raises(ToolRefused, match="weekly"):
        templates.get("weekly")
