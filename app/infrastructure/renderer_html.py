"""Markdown to one HTML file that needs nothing else: own style, no scripts, nothing fetched."""

from __future__ import annotations

import asyncio
import re
from html import escape
from typing import Any

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from app.infrastructure.markdown_document import headings, parser, printable, tree, wording

_NOT_IN_IDS = re.compile(r"[^\w]+")
_STYLE = """
:root{color-scheme:light dark}
body{margin:0 auto;max-width:42rem;padding:2.5rem 1.25rem 5rem;font:1.0625rem/1.6 Georgia,"Times New Roman",serif;
color:#1d1d1b;background:#fdfcf9}
h1,h2,h3{line-height:1.25;text-wrap:balance}h1{font-size:1.9rem;margin:0 0 1rem}h2{margin:2.2rem 0 .6rem;font-size:1.3rem}
h3{font-size:1.08rem}a{color:#0b5394}sup a{text-decoration:none;padding:0 .1em}
nav{border:1px solid #d8d4c8;border-radius:.4rem;padding:.8rem 1.2rem;margin:1.5rem 0}
nav ol{margin:0;padding-left:1.4rem}nav p{margin:0 0 .3rem;font-weight:bold}
blockquote{margin:1rem 0;padding-left:1rem;border-left:3px solid #d8d4c8}
table{border-collapse:collapse;width:100%}th,td{border:1px solid #d8d4c8;padding:.35rem .6rem;text-align:left;vertical-align:top}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}pre{overflow:auto}
.footnotes{font-size:.92rem;overflow-wrap:anywhere}hr{border:0;border-top:1px solid #d8d4c8;margin:2.5rem 0}
@media(prefers-color-scheme:dark){body{color:#e8e6e0;background:#191917}a{color:#8ab8e8}
nav,th,td,hr,blockquote{border-color:#45433d}}
@media print{body{max-width:none;padding:0;background:#fff;color:#000}}
""".strip()


class HtmlRenderer:
    """Text of sources is escaped; links go to web addresses only."""

    media_type = "text/html; charset=utf-8"

    async def render(self, title: str, markdown: str, language: str = "en") -> bytes:
        return await asyncio.to_thread(_page, title, markdown, language)


def _page(title: str, markdown: str, language: str) -> bytes:
    contents, sources = wording(language)
    entries = [(entry.text, f"s{n}") for n, entry in enumerate(headings(tree(markdown)), 1) if entry.level == 2]
    listed = "".join(f'<li><a href="#{anchor}">{escape(text)}</a></li>' for text, anchor in entries)
    nav = f"<nav><p>{escape(contents)}</p><ol>{listed}</ol></nav>" if len(entries) > 1 else ""
    body = _body(markdown, sources)
    opening, end, rest = body.partition("</h1>")
    body = f"{opening}{end}\n{nav}{rest}" if end else nav + body
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(printable(title))}</title>"
    policy = "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    page = f"<!doctype html><html lang={_lang(language)}><head>{head}{policy}<style>{_STYLE}</style></head>"
    return f"{page}<body>{body}</body></html>\n".encode()


def _lang(language: str) -> str:
    return f'"{escape(language, quote=True)}"'


def _body(markdown: str, sources: str) -> str:
    markdown_it = parser()
    markdown_it.add_render_rule("footnote_block_open", _footnotes_open)
    markdown_it.add_render_rule("image", _no_image)
    tokens = markdown_it.parse(printable(markdown))
    numbered = 0
    for token in tokens:
        if token.type == "heading_open" and token.tag in {"h2", "h3"}:
            numbered += 1
            token.attrSet("id", f"s{numbered}")
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("rel", "noopener noreferrer nofollow")
    return str(markdown_it.renderer.render(tokens, markdown_it.options, {"sources": sources}))


def _footnotes_open(_self: RendererHTML, _tokens: list[Token], _at: int, _options: Any, env: Any) -> str:
    return f"<hr><section class=footnotes><h2>{escape(env['sources'])}</h2><ol>\n"


def _no_image(_self: RendererHTML, tokens: list[Token], at: int, _options: Any, _env: Any) -> str:
    return escape(tokens[at].content)
