"""Markdown that a workflow wrote, as HTML that cannot do anything: no HTML of its own, no pictures, links that tell
nothing."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from mdit_py_plugins.footnote import footnote_plugin

# Pictures from elsewhere would tell another host who reads; the page's policy refuses them anyway.
_PARSER = (
    MarkdownIt("commonmark", {"html": False})
    .enable("table")
    .disable(["image", "html_block", "html_inline"])
    .use(footnote_plugin, inline=False)
)
_TOP = 3  # a page has its own first and second headings


def _render_token(self: Any, tokens: Sequence[Token], place: int, options: Any, env: MutableMapping[str, Any]) -> str:
    tokens[place].attrSet("rel", "noreferrer noopener nofollow")
    rendered: str = self.renderToken(tokens, place, options, env)
    return rendered


def _render_reference(_self: Any, tokens: Sequence[Token], place: int, _options: Any, _env: Any) -> str:
    """Every reference to a source has the source's number, also the second."""
    return f"[{int(tokens[place].meta['id']) + 1}]"


_PARSER.add_render_rule("link_open", _render_token)
_PARSER.add_render_rule("footnote_caption", _render_reference)


@lru_cache(maxsize=16)
def markdown(text: str) -> Markup:
    """Safe HTML. Addresses that are no web, mail or page ones are left as text; headings begin below the page's own."""
    tokens = _PARSER.parse(text)
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    lower = _TOP - min(levels, default=_TOP)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(max(int(token.tag[1]) + lower, _TOP), 6)}"
    return Markup(_PARSER.renderer.render(tokens, _PARSER.options, {}))  # noqa: S704 - what the parser made, which escapes
