"""The streaming upload parser."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.multipart import MAX_AROUND, MAX_HEADERS, FormLimits, form_boundary, form_parts
from app.domain.errors import Malformed, TooLarge
from app.domain.models import FilePart
from tests.api.forms import BOUNDARY, CONTENT_TYPE, arriving, cut, form, part

LIMITS = FormLimits(max_parts=8, max_field=1024)


async def read(pieces, limits=LIMITS):
    """Every part as (name, value) or (filename, bytes)."""
    found = []
    async for one in form_parts(BOUNDARY, arriving(pieces), limits):
        if isinstance(one, FilePart):
            found.append((one.filename, b"".join([piece async for piece in one.chunks])))
        else:
            found.append((one.name, one.value))
    return found


near = st.sampled_from(
    [
        b"\r\n--" + BOUNDARY[:5],
        b"\r\n--" + BOUNDARY + b"x",
        b"\r\n--" + BOUNDARY + b"-x",
        b"\r\n--" + BOUNDARY + b"\rx",
        b"--" + BOUNDARY,
        b"\r",
        b"\n",
        b"\r\n",
        b"-",
        b"\r\n--",
        b"\r\n\r\n--" + BOUNDARY[:-1],
        b"\x00",
    ]
)
content = st.lists(st.one_of(near, st.binary(max_size=20)), max_size=12).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(content=content, places=st.lists(st.integers(0, 5000), max_size=20), after=st.booleans(), every=st.booleans())
async def test_any_chunking_gives_the_same_parts(content, places, after, every):
    whole = b"\r\n" + content + b"\r\n"
    if b"\r\n--" + BOUNDARY + b"\r\n" in whole or b"\r\n--" + BOUNDARY + b"--" in whole:
        return  # a real boundary; nobody may send that
    if any(b"\r\n--" + BOUNDARY + space in whole for space in (b" ", b"\t")):
        return  # padding behind a boundary: the same
    parts = [part("file", content, "a.bin"), part("title", "Grüße".encode())]
    body = form(*(parts if after else reversed(parts)))
    pieces = cut(body, range(len(body))) if every else cut(body, places)
    expected = [("a.bin", content), ("title", "Grüße")]
    assert await read(pieces) == (expected if after else expected[::-1])


@settings(max_examples=300, deadline=None)
@given(
    body=st.lists(st.one_of(near, st.binary(max_size=8), st.just(b"--" + BOUNDARY + b"\r\n")), max_size=8).map(b"".join)
)
async def test_rubbish_comes_to_the_same_however_it_is_cut(body):
    async def outcome(pieces):
        try:
            return await read(pieces)
        except (Malformed, TooLarge) as refused:
            return type(refused)

    assert await outcome([body]) == await outcome(cut(body, range(len(body))))


async def test_every_cut_of_a_body_that_ends_early_is_malformed():
    body = form(part("workflow", b"n8n_notion"), part("file", b"0123456789", "a.bin"))
    for length in range(len(body) - len(b"--\r\n")):
        with pytest.raises(Malformed):
            await read([body[:length]])


async def test_what_was_not_read_of_a_file_is_skipped():
    body = form(part("file", b"x" * 5000, "a.bin"), part("title", b"t"))
    parts = form_parts(BOUNDARY, arriving(cut(body, range(0, len(body), 7))), LIMITS)
    names = [one.filename if isinstance(one, FilePart) else one.name async for one in parts]
    assert names == ["a.bin", "title"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('filename="a b.png"', "a b.png"),
        ("filename=plain.txt", "plain.txt"),
        ('filename="a%22b.png"', 'a"b.png'),
        ('filename="a%0D%0Ab"', "a\r\nb"),
        ('filename="100%25.txt"', "100%25.txt"),
        (r'filename="a\"b.png"', 'a"b.png'),
        (r'filename="C:\docs\a.txt"', r"C:\docs\a.txt"),
        ('filename="Grüße.pdf"', "Grüße.pdf"),
        ("filename*=UTF-8''Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf"),
        ("filename=\"fallback\"; filename*=utf-8'de'Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf"),
        ("filename*=iso-8859-1''Gr%FC%DFe.pdf", "Grüße.pdf"),
        ('filename="../../etc/passwd"', "../../etc/passwd"),
        ('filename="a;b=c.txt"', "a;b=c.txt"),
        ('filename=""', ""),
        ('filename="' + "n" * 4000 + '"', "n" * 4000),
        ('filename="nul\0.txt"', "nul\0.txt"),
        ('filename="\u202egpj.exe"', "\u202egpj.exe"),
    ],
)
async def test_file_names_are_read_as_clients_write_them(written, meant):
    head = f'--{BOUNDARY.decode()}\r\nContent-Disposition: form-data; name="file"; {written}\r\n\r\nx\r\n'.encode()
    assert await read([form(head)]) == [(meant, b"x")]


def raw(headers: bytes, value: bytes = b"x") -> bytes:
    return b"--%b\r\n%b\r\n\r\n%b\r\n" % (BOUNDARY, headers, value)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(form(part("file", b"text")), id="a file part without a filename"),
        pytest.param(form(part("other", b"x", "a.bin")), id="a file under another name"),
        pytest.param(form(part("file", b"x", "a"), part("file", b"y", "b")), id="two files"),
        pytest.param(form(part("a", b"x"), part("a", b"y")), id="the same field twice"),
        pytest.param(form(part("a", b"\xff")), id="text that is not UTF-8"),
        pytest.param(form(part("a", b"a\0b")), id="U+0000 in a text"),
        pytest.param(
            form(part("a", b"x", headers=b"Content-Type: text/plain; charset=utf-16\r\n")), id="another charset"
        ),
        pytest.param(form(part("a", b"x", headers=b"Content-Transfer-Encoding: base64\r\n")), id="an encoding"),
        pytest.param(form(part("a", b"x", headers=b"Content-Disposition: form-data\r\n")), id="a header twice"),
        pytest.param(form(raw(b"Content-Type: text/plain")), id="no disposition"),
        pytest.param(form(raw(b"Content-Disposition: form-data")), id="no name"),
        pytest.param(form(raw(b'Content-Disposition: form-data; name=""')), id="an empty name"),
        pytest.param(form(raw(b'Content-Disposition: attachment; name="a"')), id="another disposition"),
        pytest.param(form(raw(b'Content-Disposition: form-data; name="\xff"')), id="a name that is not UTF-8"),
        pytest.param(form(raw(b'Content-Disposition: form-data; name="a')), id="an open quote"),
        pytest.param(form(raw(b'Content-Disposition: form-data; name="a"; name="b"')), id="two names"),
        pytest.param(form(raw(b'Content-Disposition: form-data; name="file"; filename*=a.txt')), id="no charset"),
        pytest.param(form(raw(b"Content Disposition: form-data")), id="a broken header"),
        pytest.param(form(raw(b'Content-Disposition: form-data;\n name="a"')), id="a folded header"),
        pytest.param(form(raw(b"X-Long: " + b"x" * 1024 * 1024)), id="a header of 1 MiB"),
        pytest.param(form(raw(b"\r\n".join(b"X-%d: " % n + b"x" * 1000 for n in range(20)))), id="many long headers"),
        pytest.param(form(raw(b"\r\n".join(b"X-%d: x" % n for n in range(100)))), id="many headers"),
        pytest.param(form(*(part(f"p{n}", b"x") for n in range(10_000))), id="10,000 parts"),
        pytest.param(form(*(part(f"p{n}", b"x") for n in range(9))), id="one part too many"),
        pytest.param(part("file", b"x" * 100_000, "a")[:-2], id="a part that never ends"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello" * 10_000, id="no boundary at all"),
        pytest.param(b"x" * (MAX_AROUND + 1) + b"\r\n" + form(part("a", b"x")), id="a giant preamble"),
        pytest.param(form(part("a", b"x")).replace(b"--\r\n", b"-x\r\n"), id="a broken end"),
    ],
)
async def test_a_broken_form_is_malformed(body):
    for pieces in ([body], cut(body, range(0, len(body), 1000)), cut(body, range(min(len(body), 3000)))):
        with pytest.raises(Malformed) as refused:
            await read(pieces)
        assert str(refused.value)


async def test_a_field_over_its_limit_is_too_large():
    with pytest.raises(TooLarge):
        await read([form(part("a", b"x" * 1025))])
    assert await read([form(part("a", b"x" * 1024))]) == [("a", "x" * 1024)]


async def test_preamble_and_epilogue_are_passed_over():
    body = b"This is a form.\r\n-- really\r\n" + form(part("a", b"x")) + b"\r\nthe end"
    for pieces in ([body], cut(body, range(len(body)))):
        assert await read(pieces) == [("a", "x")]


async def test_an_epilogue_that_does_not_end_is_malformed():
    with pytest.raises(Malformed):
        await read([form(part("a", b"x")), *[b"x" * 100] * (MAX_AROUND // 50)])


async def test_a_form_may_be_empty():
    assert await read([b"--" + BOUNDARY + b"--\r\n"]) == []


async def test_headers_have_their_whole_limit():
    filler = b"X-Filler: " + b"x" * (MAX_HEADERS - 200)
    assert await read([form(part("a", b"v", headers=filler + b"\r\n"))]) == [("a", "v")]


def test_the_boundary_is_read_from_the_content_type():
    assert form_boundary(CONTENT_TYPE) == BOUNDARY
    assert form_boundary('Multipart/Form-Data; charset=utf-8; Boundary="a b:c"') == b"a b:c"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/mixed; boundary=x",
        "multipart/form-data",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="x',
        'multipart/form-data; boundary="ü"',
        'multipart/form-data; boundary="x "',
        "multipart/form-data; boundary=a; boundary=b",
    ],
)
def test_other_content_types_are_malformed(content_type):
    with pytest.raises(Malformed):
        form_boundary(content_type)
