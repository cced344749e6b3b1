"""The pages in a real browser, in front of the whole product. Needs a chromium on the PATH."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.quiet_side import ENTRY, QuietSide
from tests.e2e.stack import Stack, running, until

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REQUIRED = os.environ.get("CI", "").lower() == "true"
PATIENCE = 30_000  # nothing here is a measurement: a slow machine is no failure

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not REQUIRED, reason="no chromium here; on Debian: apt-get install chromium"
)
FAINT = Path(__file__).with_name("contrast.js").read_text()
UNNAMED = """[...document.querySelectorAll("input:not([type=hidden], [aria-hidden]), select, textarea, button")]
  .filter((field) => !(field.labels?.length || field.ariaLabel || field.textContent.trim()))
  .map((field) => field.outerHTML)"""
RECEIPT = {"name": "receipt.txt", "mimeType": "text/plain", "buffer": b"12 coffees, 34.00"}
FAILING = RECEIPT | {"name": "please-fail.txt"}


@pytest.fixture(scope="module")
def quiet() -> Iterator[QuietSide]:
    quiet = QuietSide()
    with quiet.serving():
        yield quiet


@pytest.fixture(scope="module")
def stack(tmp_path_factory, quiet) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "workflows.toml").write_text(ENTRY.format(port=quiet.port))
    with running(folder, QUIET_SECRET=secrets.token_urlsafe(32)) as stack:
        yield stack


@pytest.fixture(scope="module")
def chromium():
    assert CHROMIUM, "CI is set, so the browser tests must run, and there is no chromium: apt-get install chromium"
    if not REQUIRED:
        pytest.importorskip("playwright")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - a tool that need not be there

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Reader:
    """One person's browser. Everything it complains about, and every host it asks, is written down; complaints that
    contain a word of `pardoned` are the test's own doing."""

    def __init__(self, context, base: str) -> None:
        self.context, self.base = context, base
        self.complaints: list[str] = []
        self.pardoned: set[str] = set()
        self.hosts: set[str] = set()
        context.set_default_timeout(PATIENCE)
        context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def tab(self):
        page = self.context.new_page()
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def log_in(self, key: str):
        """A tab of somebody who showed the key on the page before; two tests do that by hand."""
        ours = {"Sec-Fetch-Site": "same-origin"}
        answer = self.context.request.post("/login", form={"key": key}, headers=ours, max_redirects=0)
        assert answer.status == 303
        return self.tab()

    def check(self) -> None:
        """Fails if something was wrong, or asked of somebody else."""
        wrong = [words for words in self.complaints if not any(pardoned in words for pardoned in self.pardoned)]
        assert wrong == []
        assert self.hosts <= {urlsplit(self.base).netloc}


@pytest.fixture
def reader(stack, chromium) -> Iterator[Reader]:
    with reading(stack, chromium) as reader:
        yield reader


@contextmanager
def reading(stack, chromium, **options) -> Iterator[Reader]:
    base = f"http://127.0.0.1:{stack.port}"
    context = chromium.new_context(base_url=base, **options)
    reader = Reader(context, base)
    yield reader
    context.close()
    reader.check()


def hand_in(page, file=RECEIPT, workflow: str = "") -> str:
    page.goto(f"/?workflow={workflow}" if workflow else "/")
    page.set_input_files("#file", file)
    page.get_by_role("button", name="Hand in").click()
    page.wait_for_url("**/jobs/*")
    return page.url


def job_in(address: str) -> str:
    return urlsplit(address).path.split("/")[2]


def stamp(page, words: str) -> None:
    page.locator(".stamp", has_text=words).first.wait_for()


def looked_again(page) -> None:
    """Returns behind a look at the server, as a tab has one that comes back to the front."""
    for _ in range(2):  # the second is asked for only when the first has been shown
        with page.expect_response("**/fragment?*") as answer:
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        answer.value.finished()


def test_a_receipt_is_handed_in_and_comes_to_its_result(stack, reader):
    page = reader.log_in(stack.key)
    hand_in(page)
    stamp(page, "Done")
    assert page.get_by_text("A text of 1 lines and 3 words, 17 bytes").first.is_visible()


def test_a_job_is_watched_to_its_result_in_two_tabs_with_a_reload(stack, quiet, reader):
    page = reader.log_in(stack.key)
    address = hand_in(page, workflow="quiet")
    second = reader.tab()
    second.goto(address)
    quiet.report(job_in(address), message="Opened the file", step=1, steps=3, progress=0.3)
    for tab in (page, second):
        tab.get_by_text("Opened the file").first.wait_for()
    page.reload()
    assert page.get_by_text("Opened the file").first.is_visible()
    quiet.report(job_in(address), "success", result_message="34.00 for coffee")
    for tab in (page, second):
        stamp(tab, "Done")
        assert tab.get_by_text("34.00 for coffee").first.is_visible()


def test_whoever_has_the_link_sees_the_slip_and_nothing_else(stack, reader, chromium):
    address = hand_in(reader.log_in(stack.key))
    with reading(stack, chromium) as stranger:
        page = stranger.tab()
        page.goto(address)
        stamp(page, "Done")
        assert page.get_by_text("Keep this address").is_visible()
        page.goto(f"/ops/jobs/{job_in(address)}")
        page.wait_for_url("**/login?next=/ops/jobs/*")


def test_the_page_goes_on_when_the_service_is_killed_in_the_middle(stack, quiet, reader):
    reader.pardoned = {"net::ERR_"}  # that the connection broke is what was wanted
    page = reader.log_in(stack.key)
    job_id = job_in(hand_in(page, workflow="quiet"))
    quiet.report(job_id, message="Opened the file")
    page.get_by_text("Opened the file").first.wait_for()
    stack.kill("uvicorn")
    quiet.report(job_id, "success")
    stamp(page, "Done")


def test_a_failure_is_told_in_words_and_retried_by_an_operator(stack, reader):
    page = reader.log_in(stack.key)
    address = hand_in(page, FAILING | {"name": "ticked-please-fail.txt"})
    stamp(page, "Failed")
    assert page.locator(".telling", has_text="The workflow reports that it failed.").is_visible()
    assert page.get_by_text("The file's name asks for it: please-fail").first.is_visible()
    page.goto("/ops")
    need = page.locator(".need", has_text="Failed in the last day")
    need.get_by_label("Retry ticked-please-fail.txt").check()
    stack.upload("meanwhile.txt")
    page.get_by_role("link", name="meanwhile.txt").wait_for()  # the page has changed
    assert need.get_by_label("Retry ticked-please-fail.txt").is_checked()
    need.get_by_role("button", name="Retry what is ticked").click()
    page.get_by_text("Handed in again: 1.").wait_for()
    page.goto(f"/ops/jobs/{job_in(address)}")
    page.get_by_role("button", name="Retry").click()
    page.get_by_text("This is the new job.").wait_for()
    stamp(page, "Failed")


def test_a_job_is_cancelled_after_asking_twice(stack, reader):
    page = reader.log_in(stack.key)
    address = hand_in(page, workflow="quiet")
    page.once("dialog", lambda dialog: dialog.accept())
    page.goto(f"/ops/jobs/{job_in(address)}")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("The job was cancelled.").wait_for()
    page.get_by_role("link", name="Audit record").click()
    stamp(page, "Verifies")


def test_what_others_do_is_seen_and_said(stack, reader):
    page = reader.log_in(stack.key)
    job_id = job_in(hand_in(page, workflow="quiet"))
    stack.client.post(f"/api/v1/jobs/{job_id}/cancel").raise_for_status()
    stamp(page, "Cancelled")
    assert "Cancelled" in page.locator("#say").text_content()


def test_a_wrong_key_stays_outside(stack, reader):
    reader.pardoned = {"401"}
    page = reader.tab()
    page.goto("/ops")
    page.wait_for_url("**/login?next=/ops")
    page.fill("#key", "x" * 30)
    page.keyboard.press("Enter")
    page.get_by_text("This key is not known here.").wait_for()
    page.fill("#key", stack.key)
    page.keyboard.press("Enter")
    page.wait_for_url("**/ops")


def test_a_file_is_handed_in_with_the_keyboard_alone(stack, reader):
    page = reader.tab()
    page.on("filechooser", lambda _: None)  # asked for only when the key is pressed, the browser may learn it too late
    page.goto("/")
    page.locator("#key:focus").wait_for()  # by itself, though a moment after the page is loaded
    page.keyboard.type(stack.key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{reader.base}/")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "file":
            break
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(RECEIPT)
    page.keyboard.press("Tab")
    page.locator("#go:focus").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/*")
    stamp(page, "Done")


def test_a_refusal_stands_beside_its_field(stack, reader):
    reader.pardoned = {"422"}
    page = reader.log_in(stack.key)
    page.goto("/")
    page.set_input_files("#file", RECEIPT)
    page.evaluate("document.getElementById('field-notion_database_id').removeAttribute('maxlength')")
    page.fill("#field-notion_database_id", "x" * 300)
    page.get_by_role("button", name="Hand in").click()
    wrong = page.locator("#wrong-notion_database_id")
    until(wrong.text_content)
    assert "200" in wrong.text_content()
    assert page.evaluate("document.activeElement.id") == "field-notion_database_id"
    page.set_input_files("#file", RECEIPT | {"buffer": b""})
    assert "empty" in page.locator("#wrong-file").text_content()


def test_everything_works_without_a_script(stack, quiet, chromium):
    with reading(stack, chromium, java_script_enabled=False) as reader:
        page = reader.log_in(stack.key)
        address = hand_in(page, workflow="quiet")
        quiet.report(job_in(address), "failure", error="It was not to be")
        stamp(page, "Failed")  # by the page's own refresh
        page.goto(f"/ops/jobs/{job_in(address)}")
        page.get_by_role("button", name="Retry").click()
        page.get_by_text("This is the new job.").wait_for()
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")


def test_a_page_behind_a_proxy_that_holds_events_back_asks_for_itself(stack, quiet, reader):
    page = reader.log_in(stack.key)
    page.route("**/events?*", lambda _: None)  # it is taken, and nothing ever comes back
    address = hand_in(page, workflow="quiet")
    quiet.report(job_in(address), "success")
    stamp(page, "Done")
    page.unroute_all(behavior="ignoreErrors")


def test_an_operator_finds_a_job_and_sees_what_went_over_the_wire(stack, reader):
    page = reader.log_in(stack.key)
    address = hand_in(page, RECEIPT | {"name": "needle-in-the-hay.txt"})
    stamp(page, "Done")
    hand_in(page)
    page.goto("/ops")
    assert page.get_by_role("img", name="Jobs by hour and status").is_visible()
    page.fill("#since", "2099-01-01T00:00")
    looked_again(page)  # which takes nothing away
    assert page.input_value("#since") == "2099-01-01T00:00"
    page.keyboard.press("Enter")
    page.wait_for_url("**/ops?*since=2099-01-01*")
    assert page.get_by_text("No job fits.").is_visible()
    page.get_by_role("link", name="Show all").click()
    page.wait_for_url("**/ops#jobs")
    page.fill("#text", "NEEDLE-in")
    looked_again(page)
    assert page.input_value("#text") == "NEEDLE-in"
    page.keyboard.press("Enter")
    page.wait_for_url("**/ops?*text=NEEDLE-in*")
    assert page.locator("table.jobs tbody tr").count() == 1
    page.locator("table.jobs").get_by_role("link", name="needle-in-the-hay.txt").click()
    page.wait_for_url(f"**/ops/jobs/{job_in(address)}")
    page.get_by_text("Request and answer").click()
    sent = page.get_by_label("Request of attempt 1")
    assert "authorization: Bearer ***" in sent.text_content()
    assert "200" in page.get_by_label("Answer to attempt 1").text_content()


def test_the_queues_dashboard_is_one_click_away_under_the_same_log_in(stack, reader):
    page = reader.log_in(stack.key)
    page.goto("/ops")
    page.get_by_role("link", name="Queue (RQ)").click()
    page.wait_for_url("**/rq/**")
    page.get_by_text("Queues").first.wait_for()


def test_every_page_fits_a_phone_and_can_be_read_in_light_and_dark(stack, reader):
    page = reader.log_in(stack.key)
    address = hand_in(page, RECEIPT | {"name": "a-rather-long-name-" * 6 + ".txt"})
    stamp(page, "Done")
    job = job_in(address)
    for path in ("/", address, "/ops", "/ops/schedules", f"/ops/jobs/{job}", f"/audit/{job}", "/docs"):
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert page.evaluate(UNNAMED) == [], path
        assert page.locator("h1").count() == 1
        page.set_viewport_size({"width": 1280, "height": 800})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(FAINT) == [], (scheme, path)
