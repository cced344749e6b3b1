"""The providers' protocols, spoken by a far side on a real socket: each answers as the documentation of the real one has it."""

import json
from urllib.parse import parse_qs, urlsplit

from tests.far_side import Behaviour, Call, answer

KEY = "provider-key-0123456789"


def query_of(call: Call) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(call.receipt.path).query).items()}


def told(call: Call, path: str) -> bool:
    return urlsplit(call.receipt.path).path == path


def as_json(status: int, value: object) -> bytes:
    return answer(status, json.dumps(value))


def searxng(*results: tuple[str, str, str], silent: tuple[str, ...] = ()) -> Behaviour:
    """Results of (address, title, content); 403 unless JSON is asked for, as where the format is switched off."""

    async def behave(call: Call) -> None:
        await call.read_body()
        if not told(call, "/search") or query_of(call).get("format") != "json":
            await call.send(answer(403, "Forbidden", "text/html"))
            return
        rows = [
            {"url": url, "title": title, "content": content, "engine": "test", "publishedDate": "2026-05-01T10:00:00"}
            for url, title, content in results
        ]
        body = {"query": query_of(call)["q"], "number_of_results": 0, "results": rows}
        await call.send(as_json(200, body | {"unresponsive_engines": [[name, "timeout"] for name in silent]}))

    return behave


def wikipedia(*pages: tuple[str, str, str]) -> Behaviour:
    """Pages of (address, title, introduction), told in no order, as the API does; 403 for who does not say who it is."""

    async def behave(call: Call) -> None:
        await call.read_body()
        if "callslip" not in (call.receipt.header("user-agent") or ""):
            await call.send(answer(403, "Please set a user-agent", "text/plain"))
            return
        rows = [
            {"pageid": index, "title": title, "index": index, "extract": extract, "fullurl": url}
            for index, (url, title, extract) in enumerate(pages, 1)
        ]
        found = {"query": {"pages": rows[::-1]}} if rows else {}
        await call.send(as_json(200, {"batchcomplete": True} | found))

    return behave


def newsapi(*articles: tuple[str, str, str]) -> Behaviour:
    """Articles of (address, title, description); 401 without the key."""

    async def behave(call: Call) -> None:
        await call.read_body()
        if call.receipt.header("x-api-key") != KEY:
            await call.send(
                as_json(401, {"status": "error", "code": "apiKeyInvalid", "message": "Your API key is bad."})
            )
            return
        rows = [
            {"source": {"id": None, "name": "Test"}, "title": title, "description": text, "url": url}
            | {"publishedAt": "2026-05-01T10:00:00Z", "content": None}
            for url, title, text in articles
        ]
        await call.send(as_json(200, {"status": "ok", "totalResults": len(rows), "articles": rows}))

    return behave


def serpapi(*results: tuple[str, str, str]) -> Behaviour:
    """Organic results of (address, title, snippet); finding nothing is an "error", as there."""

    async def behave(call: Call) -> None:
        await call.read_body()
        if query_of(call).get("api_key") != KEY:
            await call.send(as_json(401, {"error": "Invalid API key."}))
            return
        rows = [
            {"position": n, "link": url, "title": title, "snippet": text, "date": "May 1, 2026"}
            for n, (url, title, text) in enumerate(results, 1)
        ]
        nothing = {"error": "Google hasn't returned any results for this query."}
        await call.send(
            as_json(200, {"search_metadata": {"status": "Success"}} | ({"organic_results": rows} if rows else nothing))
        )

    return behave


def chat(*sections: list[tuple[str, list[int]]], seen: list[dict] | None = None) -> Behaviour:
    """OpenAI's chat protocol: the model "calls" the tool that it was offered with one section after the other, the last one
    again and again. 401 without the key. With `"stream": true` the same comes in pieces."""
    left = list(sections)

    async def behave(call: Call) -> None:
        asked = json.loads(await call.read_body())
        if seen is not None:
            seen.append(asked)
        if call.receipt.header("authorization") != f"Bearer {KEY}":
            await call.send(as_json(401, {"error": {"message": f"Incorrect API key {KEY}", "code": "invalid_api_key"}}))
            return
        section = left.pop(0) if len(left) > 1 else left[0]
        arguments = json.dumps({"sentences": [{"text": text, "sources": numbers} for text, numbers in section]})
        function = {"name": asked["tools"][0]["function"]["name"], "arguments": arguments}
        message = {"role": "assistant", "content": None}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
        head = {"id": "chat-1", "created": 1_780_000_000, "model": asked["model"]}
        usage = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}
        if not asked.get("stream"):
            choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
            await call.send(as_json(200, head | {"object": "chat.completion", "choices": [choice], "usage": usage}))
            return
        delta = {"role": "assistant", "tool_calls": [message["tool_calls"][0] | {"index": 0}]}
        pieces = [
            {"choices": [{"index": 0, "delta": delta}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
            {"choices": [], "usage": usage},
        ]
        lines = [f"data: {json.dumps(head | {'object': 'chat.completion.chunk'} | piece)}\n\n" for piece in pieces]
        await call.send(answer(200, "".join([*lines, "data: [DONE]\n\n"]), "text/event-stream"))

    return behave


def website(pages: dict[str, tuple[int, str, bytes, dict[str, str]]]) -> Behaviour:
    """A small web site: path to (status, media type, body, headers)."""

    async def behave(call: Call) -> None:
        await call.read_body()
        status, kind, body, headers = pages.get(urlsplit(call.receipt.path).path, (404, "text/plain", b"no", {}))
        await call.send(answer(status, body, kind, headers))

    return behave
