"""Workflows by configuration: what an entry becomes, and what is said of a broken one."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.errors import Misconfigured
from app.domain.lifecycle import Periods
from app.domain.workflow import RESERVED_NAMES
from app.infrastructure.webhook_target import Auth, DeliveryMode, WebhookTarget
from app.infrastructure.workflow_config import N8nValues, load_workflows
from tests.infrastructure.workflow_files import ENV, KEY, MEBIBYTE, N8N, NONE, OLD, SECRET, SMALLEST, TOKEN, WHOLE, load


def problems(tmp_path: Path, text: str, n8n: N8nValues = NONE) -> list[str]:
    with pytest.raises(Misconfigured) as caught:
        load(tmp_path, text, n8n)
    for secret in (TOKEN, SECRET, OLD, KEY):
        assert secret not in str(caught.value)
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_the_settings_alone_make_the_notion_workflow(tmp_path: Path) -> None:
    found = load(tmp_path, None, N8N)
    workflow, target = found["n8n_notion"]
    assert list(found) == ["n8n_notion"]
    assert workflow.check({"notion_database_id": "abc"}) == {"notion_database_id": "abc"}
    assert workflow.check({}) == workflow.check({"notion_database_id": ""}) == {}
    assert workflow.file is not None
    assert workflow.file.max_size == 10 * MEBIBYTE
    assert workflow.file.takes("application/x-anything")
    assert target == WebhookTarget(url="http://n8n:5678/webhook/notion", token=TOKEN, secrets=(SECRET.encode(),))


def test_without_an_address_there_is_no_notion_workflow(tmp_path: Path) -> None:
    assert load(tmp_path, None) == {}
    assert list(load(tmp_path, SMALLEST)) == ["question"]


def test_an_entry_becomes_a_workflow_with_everything_it_says(tmp_path: Path) -> None:
    found = load(tmp_path, WHOLE, N8N)
    assert list(found) == ["n8n_notion", "invoices"]
    workflow, target = found["invoices"]
    assert (workflow.name, workflow.title, workflow.in_flight) == ("invoices", "Read an invoice", 3)
    assert workflow.file is not None
    assert (workflow.file.media_types, workflow.file.max_size) == (("application/pdf", "image/*"), MEBIBYTE)
    assert workflow.periods.callback_timeout == timedelta(minutes=5)
    assert workflow.periods.callback_deadline == timedelta(hours=1)
    assert target == WebhookTarget(
        url="https://n8n.example:5678/webhook/invoices",
        auth=Auth.JWT,
        token=TOKEN,
        secrets=(SECRET.encode(), OLD.encode()),
        delivery=DeliveryMode.LINK,
        multipart_limit=5_000_000,
        timeout=timedelta(seconds=10),
        api_url="https://n8n.example:5678",
        api_key=KEY,
    )


def test_what_an_entry_leaves_out_has_the_contracts_defaults_and_nothing_of_the_other_workflows_secrets(
    tmp_path: Path,
) -> None:
    n8n = N8nValues(
        url="http://n8n/x", token=TOKEN, secrets=(OLD,), auth="jwt", delivery="link", api_url="http://n8n", api_key=KEY
    )
    workflow, target = load(tmp_path, SMALLEST, n8n)["question"]
    assert (workflow.title, workflow.in_flight, workflow.periods) == ("question", 8, Periods())
    assert target == WebhookTarget(url="http://n8n/webhook/q", token=TOKEN, secrets=(SECRET.encode(),))


def test_an_entry_of_its_name_changes_the_notion_workflow_and_leaves_the_rest(tmp_path: Path) -> None:
    text = """
        [workflow.n8n_notion]
        title = "Ours"
        in_flight = 2
        [workflow.n8n_notion.parameters.tag]
        required = true
    """
    workflow, target = load(tmp_path, text, N8N)["n8n_notion"]
    assert (workflow.title, workflow.in_flight) == ("Ours", 2)
    assert workflow.check({"tag": "x"}) == {"tag": "x"}
    assert (target.url, target.token) == ("http://n8n:5678/webhook/notion", TOKEN)
    assert load(tmp_path, text) == {}


def test_a_workflow_may_want_no_file(tmp_path: Path) -> None:
    workflow, _ = load(tmp_path, SMALLEST + 'file = "none"')["question"]
    assert workflow.file is None


def test_no_authorization_needs_no_token(tmp_path: Path) -> None:
    _, target = load(tmp_path, SMALLEST.replace('token = "${TOKEN}"', 'auth = "none"'))["question"]
    assert (target.auth, target.token) == (Auth.NONE, None)


def test_the_shipped_file_is_valid_as_it_is_and_with_its_examples(tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[2] / "workflows.toml").read_text()
    assert list(load(tmp_path, shipped, N8N)) == ["n8n_notion"]
    examples = re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", shipped)
    text = (
        examples.replace("INVOICES_TOKEN", "TOKEN")
        .replace("INVOICES_SECRET", "SECRET")
        .replace("INVOICES_API_KEY", "KEY")
    )
    found = load_workflows(_written(tmp_path, text), N8N, ENV, Periods(), 10**9)
    assert found["invoices"][0].check({"cost_centre": "4711"}) == {"cost_centre": "4711", "copies": 1}
    assert found["n8n_notion"][0].check({"notion_database_id": "x"}) == {"notion_database_id": "x"}


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "shipped.toml"
    path.write_text(text)
    return path


# Broken entries: line 3 is `url`, 4 `token`, 5 `secret`, 6 the first line added


@pytest.mark.parametrize(
    ("added", "problem"),
    [
        ('ulr = "x"', "workflows.toml:6: [workflow.question] unknown key 'ulr'; did you mean 'url'?"),
        (
            "in_flight = 0",
            "workflows.toml:6: [workflow.question] 'in_flight' input should be greater than or equal to 1",
        ),
        ("in_flight = true", "workflows.toml:6: [workflow.question] 'in_flight' input should be a valid integer"),
        ('delivery = "fax"', "workflows.toml:6: [workflow.question] 'delivery' input should be 'multipart' or 'link'"),
        (
            'timeout = "soon"',
            "workflows.toml:6: [workflow.question] 'timeout' must be a duration such as 90, 1.5s, 15m, 24h or 7d",
        ),
        ('timeout = "0s"', "workflows.toml:6: [workflow.question] 'timeout' must be longer than nothing"),
        ("max_size = true", "workflows.toml:6: [workflow.question] 'max_size' must be text or a number"),
        (
            'max_size = "1 GB"',
            "workflows.toml:6: [workflow.question] 'max_size' is above what MAX_UPLOAD_SIZE allows (10485760 bytes)",
        ),
        (
            '\n\nmedia_types = [\n"image/*",\n"picture"]',
            "workflows.toml:8: [workflow.question] 'media_types.1' string should match pattern",
        ),
        (
            'file = "none"\nmax_size = 5',
            "workflows.toml:7: [workflow.question] 'max_size' goes with file = 'required' only",
        ),
        (
            'callback_deadline = "1m"',
            "workflows.toml:6: [workflow.question] 'callback_deadline' makes callback_deadline shorter",
        ),
        (
            'callback_timeout = "2d"',
            "workflows.toml:6: [workflow.question] 'callback_timeout' makes callback_deadline shorter",
        ),
        (
            'api_key = "${KEY}"',
            "workflows.toml:6: [workflow.question] 'api_key' belongs with the other: api_url and api_key",
        ),
        (
            'api_url = "http://n8n"',
            "workflows.toml:6: [workflow.question] 'api_url' belongs with the other: api_url and api_key",
        ),
        ('api_key = "literal"', "workflows.toml:6: [workflow.question] 'api_key' must be written as ${VARIABLE}"),
        (
            "\n# a comment\nparameters.size = {}",
            "workflows.toml:8: [workflow.question] parameter 'size': this name is reserved",
        ),
        (
            'parameters."a b" = {}',
            "workflows.toml:6: [workflow.question] parameter 'a b': a parameter's name is letters",
        ),
        (
            'parameters.a.pattern = "["',
            "workflows.toml:6: [workflow.question] parameter 'a': 'pattern' is no regular expression",
        ),
        (
            'parameters.a.pattern = "a(?=b)"',
            "workflows.toml:6: [workflow.question] parameter 'a': 'pattern' is no regular expression",
        ),
        (
            'parameters.a.type = "date"',
            "workflows.toml:6: [workflow.question] 'parameters.a.type' input should be 'string', 'integer'",
        ),
        (
            "parameters.a.maxlength = 1",
            "workflows.toml:6: [workflow.question] unknown key 'maxlength'; did you mean 'max_length'?",
        ),
        (
            "parameters.a.minimum = 1",
            "workflows.toml:6: [workflow.question] 'parameters.a' 'minimum' does not go with type 'string'",
        ),
        (
            'parameters.a = {type = "integer", default = "x"}',
            "workflows.toml:6: [workflow.question] parameter 'a': the default does not fit",
        ),
        (
            'parameters.a = {required = true, default = "x"}',
            "workflows.toml:6: [workflow.question] 'parameters.a' a required parameter",
        ),
        ("parameters.a = 1", "workflows.toml:6: [workflow.question] 'parameters.a' "),
        ("[workflow.Big]", "workflows.toml:6: [workflow.Big] a workflow's name is a-z, 0-9, - and _"),
        ("[workflow]\nx = 1", "workflows.toml:7: [workflow.x] must be a table"),
        ("[workflows.x]", "workflows.toml:6: unknown key 'workflows': every entry begins with [workflow.<name>]"),
        ("[workflow.question]", "workflows.toml:6: Cannot declare"),
        ("title = ", "workflows.toml:6: Invalid value"),
    ],
)
def test_a_broken_entry_is_told_with_its_line(tmp_path: Path, added: str, problem: str) -> None:
    found = problems(tmp_path, SMALLEST + added)
    assert len(found) == 1
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    ("line", "instead", "problem"),
    [
        ('url = "http://n8n/webhook/q"', "", "workflows.toml:2: [workflow.question] 'url' is missing"),
        (
            "http://n8n",
            "ftp://n8n",
            "workflows.toml:3: [workflow.question] 'url' must be an address that begins with http",
        ),
        ("http://n8n", "http://me:word@n8n", "workflows.toml:3: [workflow.question] 'url' must not carry a user"),
        (
            "http://n8n",
            "http://${NOWHERE}",
            "workflows.toml:3: [workflow.question] 'url' names ${NOWHERE}, and the environment has no",
        ),
        (
            'token = "${TOKEN}"',
            "",
            "workflows.toml:2: [workflow.question] 'token' is missing, and auth = 'header' sends it",
        ),
        (
            "${TOKEN}",
            "literal-0123456789-abcdefgh",
            "workflows.toml:4: [workflow.question] 'token' must be written as ${VARIABLE}",
        ),
        (
            "${TOKEN}",
            "${SHORT}",
            "workflows.toml:4: [workflow.question] 'token' must have at least 24 characters; make one:",
        ),
        (
            "${TOKEN}",
            "${MISSING}",
            "workflows.toml:4: [workflow.question] 'token' names ${MISSING}, and the environment has no MISSING",
        ),
        (
            'secret = "${SECRET}"',
            "",
            "workflows.toml:2: [workflow.question] 'secret' is missing: every delivery is signed",
        ),
        (
            "${SECRET}",
            "${SHORT}",
            "workflows.toml:5: [workflow.question] 'secret' must have at least 24 characters; make one:",
        ),
    ],
)
def test_what_is_missing_or_weak_is_told_with_its_line(tmp_path: Path, line: str, instead: str, problem: str) -> None:
    found = problems(tmp_path, SMALLEST.replace(line, instead, 1))
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = (
        SMALLEST.replace("http:", "ftp:")
        + 'ulr = "x"\n[workflow.other]\nurl = "x"\nin_flight = 0\ntitle = 1\n[workflow.third]\nurl="x"'
    )
    assert [problem.split(" ")[0] for problem in problems(tmp_path, text)] == [
        "workflows.toml:6:",
        "workflows.toml:10:",
        "workflows.toml:9:",
        *["workflows.toml:11:", "workflows.toml:11:", "workflows.toml:12:"],
    ]


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_no_parameter_takes_a_reserved_name(tmp_path: Path, name: str) -> None:
    assert "reserved" in problems(tmp_path, f"{SMALLEST}[workflow.question.parameters.{name}]")[0]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe4"')
    for name, words in (("none.toml", "No such file"), ("latin.toml", "not UTF-8")):
        with pytest.raises(Misconfigured, match=words):
            load_workflows(tmp_path / name, N8N, ENV, Periods(), 1)


def test_no_secret_shows_in_a_repr() -> None:
    assert TOKEN not in repr(N8N)
    assert SECRET not in repr(N8N)


def test_an_entry_may_say_what_makes_two_jobs_the_same_and_what_they_are_about(tmp_path: Path) -> None:
    said = (
        'in_flight = 3\ndedup = ["cost_centre", "copies"]\nfresh_for = "2h"\nsubject = "cost_centre"\nsubject_limit = 2'
    )
    workflow, _ = load(tmp_path, WHOLE.replace("in_flight = 3", said))["invoices"]
    first, second = (workflow.check({"cost_centre": "1234", "copies": copies}) for copies in ("1", "2"))
    assert workflow.dedup_key(first, "ab") == 'invoices:["1234",1]:ab'
    assert workflow.dedup_key(first, "ab") != workflow.dedup_key(second, "ab") != workflow.dedup_key(second, "cd")
    assert (workflow.subject_of(first), workflow.subject_limit, workflow.fresh_for) == ("1234", 2, timedelta(hours=2))


def test_a_file_alone_may_make_two_jobs_the_same_and_a_number_may_be_what_they_are_about(tmp_path: Path) -> None:
    said = 'in_flight = 3\ndedup = []\nsubject = "copies"'
    workflow, _ = load(tmp_path, WHOLE.replace("in_flight = 3", said))["invoices"]
    params = workflow.check({"cost_centre": "1234", "copies": "2"})
    assert (workflow.dedup_key(params, "ab"), workflow.subject_of(params)) == ("invoices:[]:ab", "2")
    assert workflow.subject_of({}) is None


def test_an_entry_without_rules_makes_every_job_one_of_its_own(tmp_path: Path) -> None:
    workflow, _ = load(tmp_path, WHOLE)["invoices"]
    params = workflow.check({"cost_centre": "1234"})
    assert (workflow.dedup_key(params, "ab"), workflow.subject_of(params), workflow.fresh_for) == (None, None, None)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ('dedup = ["cost_center"]', "'dedup' names cost_center, which is no parameter of this workflow"),
        ('subject = "customer"', "'subject' names customer, which is no parameter of this workflow"),
        (
            "subject_limit = 2",
            "'subject_limit' limits jobs about one subject: say by `subject` which parameter that is",
        ),
        ('fresh_for = "1h"', "'fresh_for' answers with an earlier result"),
    ],
)
def test_rules_that_name_nothing_are_told_with_their_line(tmp_path: Path, said: str, problem: str) -> None:
    (told,) = problems(tmp_path, WHOLE.replace("in_flight = 3", f"in_flight = 3\n{said}"))
    assert problem in told
