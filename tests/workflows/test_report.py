"""Reports from asking to downloading, through the whole service, offline and with a model that lies."""

import io
import re
import time

import pytest
from docx import Document
from pypdf import PdfReader

from app.infrastructure.document_text import document_text
from tests.far_side import far_side, reply
from tests.providers import KEY, chat, website

TOPIC = "shore power in European ports"
NOTE = re.compile(r"\[\^(\d+)\]")


def told(markdown):
    """(sentence, numbers) of every sentence of a report, its Markdown undone."""
    for line in markdown.splitlines():
        if line and line[0] not in "#>[*":
            for text, notes in re.findall(r"(.+?)((?:\[\^\d+\])+)(?: |$)", line):
                yield re.sub(r"\\(.)", r"\1", text), [int(number) for number in NOTE.findall(notes)]


async def test_every_sentence_of_an_offline_report_stands_word_for_word_in_the_document_it_names(desk, corpus):
    began = time.monotonic()
    made = await desk.report(topic=TOPIC, template="deep-dive")
    assert time.monotonic() - began < 20
    assert made["status"] == "completed", made["error"]
    report = made["report"]
    sources = {source["number"]: source["url"] for source in report["sources"]}
    texts = {name: document_text(name, (corpus / name).read_bytes()).text for name in sources.values()}
    sentences = list(told(report["markdown"]))
    assert len(sentences) == report["sentences"] >= 20
    assert report["unsupported"] == 0
    for text, numbers in sentences:
        assert text in " ".join(texts[sources[numbers[0]]].split())
    assert len({text for text, _ in sentences}) == len(sentences)
    assert sorted(sources) == list(range(1, len(sources) + 1))


async def test_the_same_question_while_it_is_being_answered_is_one_job(desk):
    one, two = await desk.ask(topic=TOPIC), await desk.ask(topic=TOPIC)
    assert (two["job_id"], two["joined"]) == (one["job_id"], True)
    assert (await desk.ask(topic="cranes"))["job_id"] != one["job_id"]


async def test_the_key_of_who_joined_answers_with_the_same_report_after_its_end(desk):
    first, body, key = await desk.ask(topic=TOPIC), {"topic": TOPIC}, {"Idempotency-Key": "mine"}
    joined = await desk.http.post("/api/v1/reports", json=body, headers=key)
    assert (joined.json()["job_id"], joined.json()["joined"]) == (first["job_id"], True)
    await desk.http.post(f"/api/v1/jobs/{first['job_id']}/cancel")
    again = await desk.http.post("/api/v1/reports", json=body, headers=key)
    assert (again.json()["job_id"], again.headers["idempotent-replayed"]) == (first["job_id"], "true")
    other = await desk.http.post("/api/v1/reports", json={"topic": "cranes"}, headers=key)
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


async def test_a_report_says_how_it_stands(desk):
    asked = await desk.ask(topic=TOPIC)
    before = (await desk.http.get(f"/api/v1/reports/{asked['job_id']}")).json()
    assert (before["status"], before["progress"], before["report"]) == ("pending", 0.0, None)
    assert (await desk.http.get(f"/api/v1/reports/{asked['job_id']}/download")).status_code == 404
    await desk.http.post(f"/api/v1/jobs/{asked['job_id']}/cancel")
    after = (await desk.http.get(f"/api/v1/reports/{asked['job_id']}")).json()
    assert (after["status"], after["error"]) == ("failed", "cancelled")


async def test_sections_are_chosen_renamed_reordered_and_added(desk):
    wishes = [
        "outlook=What comes",
        {"name": "tugs", "heading": "Electric tugs", "instructions": "electric tugs bought"},
        "summary",
    ]
    report = (await desk.report(topic=TOPIC, sections=wishes, sources=["documents"]))["report"]
    assert re.findall(r"^## (.*)", report["markdown"], re.MULTILINE) == ["What comes", "Electric tugs", "Summary"]
    assert "electric tugs" in report["markdown"].partition("## Electric tugs")[2].partition("##")[0]


async def test_a_finished_report_is_downloaded_in_every_form_by_key_or_by_link(desk):
    made = await desk.report(topic=TOPIC, template="brief")
    for form, opens in (("md", b"# shore power"), ("html", b"<!doctype html>"), ("pdf", b"%PDF"), ("docx", b"PK")):
        answer = await desk.http.get(made["links"][form], headers={"Authorization": ""})
        assert answer.status_code == 200
        assert answer.content.startswith(opens)
        assert f'filename="shore-power-in-European-ports.{form}"' in answer.headers["content-disposition"]
        if form == "pdf":
            assert len(PdfReader(io.BytesIO(answer.content)).outline) == 4
        if form == "docx":
            assert "What is known" in [paragraph.text for paragraph in Document(io.BytesIO(answer.content)).paragraphs]
    assert (await desk.http.get(f"/api/v1/reports/{made['job_id']}/download?format=exe")).status_code == 422
    assert (
        await desk.http.get(made["links"]["pdf"].partition("&")[0], headers={"Authorization": ""})
    ).status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "topic"),
        ({"topic": ""}, "topic"),
        ({"topic": "x", "sources": ["file:///etc/passwd"]}, "sources.0"),
        ({"topic": "x", "formats": ["exe"]}, "formats.0"),
        ({"topic": "x", "language": "../x"}, "language"),
        ({"topic": "x", "language": "zz"}, "language"),
        ({"topic": "x", "sources": ["http://[::1"]}, "sources.0"),
        ({"topic": "x", "template": "novel"}, "template"),
        ({"topic": "x", "template": "brief", "sections": ["facts", "factz"]}, "sections.1"),
        ({"topic": "x", "colour": "red"}, "colour"),
    ],
)
async def test_what_is_wrong_is_refused_and_named(desk, body, field):
    answer = await desk.http.post("/api/v1/reports", json=body)
    assert answer.status_code == 422
    assert field in [problem["field"] for problem in answer.json()["errors"]]


async def test_what_is_no_json_is_refused(desk):
    json, text = {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}
    assert (await desk.http.post("/api/v1/reports", content=b'{"topic": NaN}', headers=json)).status_code == 400
    assert (await desk.http.post("/api/v1/reports", content=b"{}" + b" " * (2 << 20), headers=json)).status_code == 413
    assert (await desk.http.post("/api/v1/reports", content=b'{"topic": "x"}', headers=text)).status_code == 415


async def test_a_name_that_is_not_there_is_refused_with_the_names_that_are(desk):
    for body, names in (
        ({"template": "novel"}, "brief, comparison, deep-dive, incident-review"),
        ({"sections": ["factz"]}, "brief has no such section; there are: summary, facts,"),
    ):
        answer = await desk.http.post("/api/v1/reports", json={"topic": TOPIC, **body})
        assert names in answer.json()["errors"][0]["message"]
    assert (await desk.http.get("/api/v1/jobs")).json()["jobs"] == []


async def test_a_document_is_refused_at_the_door_too_and_nothing_of_it_is_kept(desk, tmp_path):
    data = {"workflow": "document_report", "topic": "x", "template": "novel"}
    answer = await desk.http.post("/api/v1/jobs", data=data, files={"file": ("a.txt", b"Some text.")})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "template")
    assert [path for path in (tmp_path / "data" / "files").rglob("*") if path.is_file()] == []


async def test_templates_of_ones_own_stand_beside_the_shipped_ones(desk, tmp_path):
    folder = tmp_path / "data" / "templates"
    folder.mkdir()
    (folder / "tugs.toml").write_text(
        'title = "Tugs"\n[[sections]]\nname = "tugs"\nheading = "Electric tugs"\nsentences = 2\n'
    )
    (folder / "broken.toml").write_text("title = ")
    listed = (await desk.http.get("/api/v1/report-templates")).json()["templates"]
    assert [template["name"] for template in listed] == ["brief", "comparison", "deep-dive", "incident-review", "tugs"]
    report = (await desk.report(topic=TOPIC, template="tugs"))["report"]
    assert report["template"] == "Tugs"
    assert report["sentences"] == 2
    broken = await desk.http.post("/api/v1/reports", json={"topic": TOPIC, "template": "broken"})
    assert broken.status_code == 422
    assert "cannot be read" in broken.json()["errors"][0]["message"]


@pytest.mark.parametrize("name", ["hamburg.txt", "notes of hamburg", "hamburg.log"])
async def test_a_document_that_is_handed_in_is_reported_on(desk, corpus, name):
    data = {"workflow": "document_report", "topic": "shore power", "sections": "facts=Facts, outlook"}
    file = {"file": (name, (corpus / "hamburg.txt").read_bytes())}
    answer = await desk.http.post("/api/v1/jobs", data=data, files=file)
    assert answer.status_code == 202, answer.text
    made = await desk.run(answer.json()["job_id"])
    assert made["status"] == "completed", made["error"]
    assert [source["url"] for source in made["report"]["sources"]] == [name]
    assert made["report"]["unsupported"] == 0


async def test_a_report_stands_on_documents_that_were_handed_in_before(desk, corpus):
    jobs = []
    for name in ("hamburg.txt", "genoa.txt"):
        path = next(corpus.glob(f"{name.partition('.')[0]}.*"))
        data = {"workflow": "document_report", "topic": "shore power"}
        answer = await desk.http.post("/api/v1/jobs", data=data, files={"file": (path.name, path.read_bytes())})
        jobs.append(answer.json()["job_id"])
    gone = "0199aaaa-0000-7000-8000-000000000000"
    made = await desk.report(topic="shore power", sources=[f"job:{job}" for job in [*jobs, gone]])
    report = made["report"]
    assert {source["url"].partition(".")[0] for source in report["sources"]} == {"hamburg", "genoa"}
    assert (report["unsupported"], len(report["missing"])) == (0, 1)
    assert gone in report["missing"][0]
    found = (await desk.report(topic="shore power in Hamburg", sources=["uploads"]))["report"]
    assert {source["url"].partition(".")[0] for source in found["sources"]} == {"hamburg", "genoa"}
    nothing = await desk.report(topic="shore power", sources=[f"job:{gone}"])
    assert (nothing["status"], "there is no file of a job" in nothing["error"]) == ("failed", True)


async def test_a_page_that_cannot_be_read_is_said_and_the_others_count(open_desk):
    text = "Shore power came to the port of Oslo in 2011, and ferries use it every night. " * 8
    pages = {"/a": (200, "text/plain", text.encode(), {})}
    async with far_side() as site, open_desk(pages_allow_private=True) as desk:
        site.will(website(pages))
        report = (await desk.report(topic="shore power in Oslo", sources=[f"{site.url}/a", f"{site.url}/b"]))["report"]
    assert [source["url"] for source in report["sources"]] == [f"{site.url}/a"]
    assert len(report["missing"]) == 1
    assert "answered 404" in report["missing"][0]


async def test_private_addresses_are_not_read(desk):
    async with far_side() as site:
        made = await desk.report(topic="secrets", sources=[f"{site.url}/admin"])
    assert (made["status"], site.receipts) == ("failed", [])
    assert "the address is not public" in made["error"]


async def test_a_model_that_makes_things_up_is_found_out(open_desk):
    true, lie, foreign = (
        "Ferries in Oslo use shore power every night.",
        "Ferries in Oslo used 900 million litres of hydrogen in 2031.",
        "Shore power came to the port of Bergen in 2011.",
    )
    text = (
        "Shore power came to the port of Oslo in 2011. Ferries in Oslo use it every night, and shore power is cheap. "
        * 3
    )
    async with far_side() as site, far_side() as provider:
        site.will(website({"/a": (200, "text/plain", text.encode(), {})}))
        provider.will(chat([(true, [1]), (lie, [1]), (foreign, [1])]))
        model = {"llm_model": "openai:gpt-5", "openai_api_key": KEY, "openai_base_url": f"{provider.url}/v1"}
        async with open_desk(pages_allow_private=True, **model) as desk:
            report = (await desk.report(topic="Oslo", sections=["summary"], sources=[f"{site.url}/a"]))["report"]
            history = (await desk.http.get(f"/api/v1/jobs/{desk.last}/history")).json()["events"]
    assert (report["sentences"], report["unsupported"]) == (3, 2)
    assert f"{true}[^1]" in report["markdown"]
    assert f"{lie} **[not found in its sources]**" in report["markdown"]
    assert f"{foreign} **[not found in its sources]**" in report["markdown"]
    assert report["writer"] == "openai:gpt-5"
    assert 120 in [event["detail"].get("tokens_in") for event in history if event["detail"]]


async def test_a_model_that_is_away_leaves_the_job_to_be_tried_again(open_desk):
    async with far_side() as provider:
        provider.will(reply(503))
        model = {"llm_model": "openai:gpt-5", "openai_api_key": KEY, "openai_base_url": f"{provider.url}/v1"}
        async with open_desk(**model) as desk:
            made = await desk.report(topic=TOPIC, sections=["summary"], sources=["documents"])
            job = (await desk.http.get(f"/api/v1/jobs/{desk.last}")).json()
    assert made["status"] == "pending"
    assert job["trouble"]["kind"] == "step"
