"""The body of a delivery, byte for byte, and what the far side's text is turned into."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from python_multipart import MultipartParser

from app.domain.models import FileUploadInfo, Job, JobId, Json, new_job_id
from app.domain.signing import Capabilities
from app.infrastructure.http_client import Answer
from app.infrastructure.webhook_answer import excerpt, execution_id, in_words, retry_after
from app.infrastructure.webhook_body import DeliveryBody, Deriver, FileDamaged, json_body, multipart_body

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JOB_ID = JobId(new_job_id(AT))
DERIVER = Deriver(
    capabilities=Capabilities((b"k" * 32,)), public_url="https://slips.example/", link_ttl=timedelta(days=7)
)


@dataclass
class Content:
    """Stored bytes, given in pieces of a chosen size."""

    data: bytes
    piece: int = 1 << 18

    @property
    def size(self) -> int:
        return len(self.data)

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        data = self.data[start:stop]
        for at in range(0, len(data), self.piece):
            yield data[at : at + self.piece]


def fields(of: Job) -> dict[str, Json]:
    return DERIVER.fields(of, DERIVER.derived(of))


def job(data: bytes | None = b"data", filename: str = "a.txt") -> Job:
    file = data and FileUploadInfo(
        filename=filename, size=len(data), sha256=sha256(data).hexdigest(), media_type="text/plain"
    )
    return Job(
        job_id=JOB_ID,
        client="me",
        workflow="w",
        file=file or None,
        params={"b": "ü\r\n--x", "a": 1.5},
        created_at=AT,
        due_at=AT,
    )


async def sent(body: DeliveryBody) -> bytes:
    return b"".join([b"".join(batch) async for batch in body.batches()])


def parsed(body: bytes, content_type: str) -> dict[str, bytes]:
    """Read by python-multipart: field name to bytes, by its header line where there is a file name."""
    found: dict[str, bytes] = {}
    header, data = bytearray(), bytearray()

    def end() -> None:
        found[bytes(header).decode()] = bytes(data)
        header.clear()
        data.clear()

    parser = MultipartParser(
        content_type.partition("boundary=")[2].encode(),
        {
            "on_header_value": lambda chunk, start, stop: header.extend(chunk[start:stop] + b"|"),
            "on_part_data": lambda chunk, start, stop: data.extend(chunk[start:stop]),
            "on_part_end": end,
        },
    )
    parser.write(body)
    parser.finalize()
    return found


async def test_a_second_parser_reads_back_what_was_meant() -> None:
    body = multipart_body(fields(job()), DERIVER.derived(job()).boundary, job().file, Content(b"data"))
    found = parsed(await sent(body), body.content_type)
    assert found['form-data; name="a"|'] == b"1.5"
    assert found['form-data; name="b"|'].decode() == "ü\r\n--x"
    assert found['form-data; name="file"; filename="a.txt"|text/plain|'] == b"data"
    assert found['form-data; name="metadata"|'] == body.signed
    assert len(found) == 13


@pytest.mark.parametrize("piece", [1, 7, 65_536, 1 << 20])
async def test_the_pieces_of_the_store_do_not_show_in_the_body(piece: int) -> None:
    data = bytes(range(256)) * 300
    bodies = [multipart_body({"x": 1}, "b", job(data).file, Content(data, size)) for size in (piece, len(data))]
    first, second = [await sent(body) for body in bodies]
    assert first == second
    assert len(first) == bodies[0].length


async def test_the_length_is_told_before_a_byte_is_read() -> None:
    for body in (
        json_body({"x": "ü"}),
        multipart_body({"x": "ü"}, "b", None, None),
        multipart_body({}, "b", job(filename="ü.png").file, Content(b"data")),
    ):
        assert body.length == len(await sent(body))


async def test_the_order_of_stored_parameters_changes_nothing() -> None:
    one = job()
    other = replace(one, params=dict(reversed(one.params.items())))
    assert await sent(json_body(fields(one))) == await sent(json_body(fields(other)))


@pytest.mark.parametrize("stored", [b"Data", b"dat", b"", b"x" * 200_000])
async def test_the_end_of_a_damaged_file_is_held_back(stored: bytes) -> None:
    body, received = multipart_body({}, "b", job(b"data").file, Content(stored)), b""
    with pytest.raises(FileDamaged):  # noqa: PT012 - what came before is looked at
        async for batch in body.batches():
            received += b"".join(batch)
    assert b"--b--" not in received


def test_a_boundary_is_one_that_any_parser_takes() -> None:
    boundary = DERIVER.derived(job()).boundary
    assert len(boundary) <= 70
    assert all(char.isascii() and (char.isalnum() or char in "._-") for char in boundary)
    assert boundary != DERIVER.derived(replace(job(), job_id=new_job_id(AT))).boundary


@pytest.mark.parametrize(
    ("filename", "written"),
    [('a"b.txt', "a%22b.txt"), ("a\r\nX: y.txt", "a%0D%0AX: y.txt"), ("ü 領.txt", "ü 領.txt"), ("a\\.txt", "a\\.txt")],
)
def test_a_file_name_is_written_as_browsers_do(filename: str, written: str) -> None:
    body = multipart_body({}, "b", job(filename=filename).file, Content(b"data"))
    assert f'; filename="{written}"\r\n'.encode() in body.head


def test_json_has_the_same_fields_and_the_metadata_beside_them() -> None:
    given = fields(job())
    told = json.loads(json_body(given).head)
    assert json.loads(told.pop("metadata")) == told == given
    assert told["callback_url"] == f"https://slips.example/api/v1/jobs/{JOB_ID}/callback"


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        ("key=abc/d", ["abc/d"], "key=***"),
        ("key=abc%2Fd", ["abc/d"], "key=***"),
        ('{"k":"a\\"b"}', ['a"b'], '{"k":"***"}'),
        ("abcdef abc", ["abc", "abcdef"], "*** ***"),
        ("a\n\n b\t\x07c", [""], "a b c"),
        ("s" * 499 + "secret", ["secret"], "s" * 499 + "*"),
    ],
)
def test_an_excerpt_shows_no_secret_and_no_control_character(text: str, secrets: list[str], shown: str) -> None:
    assert excerpt(text, secrets) == shown


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"executionId":"12"}', "12"),
        ('{"executionId":12}', "12"),
        ('{"executionId":1.5}', None),
        ("[]", None),
        ("", None),
        ("{", None),
    ],
)
def test_an_execution_id_is_found_in_json_only(text: str, found: str | None) -> None:
    assert execution_id(text) == found


def test_an_answer_without_words_is_told_by_its_number() -> None:
    answer = Answer(status=422, headers={}, text="", cut=False)
    assert in_words(answer, []) == "the far side answered 422"
    assert retry_after(answer.headers, AT) is None
