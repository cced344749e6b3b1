"""The harness against broken products: a copy of the code with one mistake planted, and the row that must find it.

The product's own code holds none of this: each mistake is a change of a few words in a copy.
"""

from __future__ import annotations

import asyncio
import importlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chaos.report import Outcome, RowProgram
from chaos.rows import NAMES
from chaos.stack import Setup

AT_ONCE = 3
STORE, SERVICE, LIFE = "infrastructure/file_store_local.py", "services/task_service.py", "domain/lifecycle.py"
ENGINE, LOG = "infrastructure/sql_engine.py", "infrastructure/sql_job_changes.py"


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is done wrong: in which file, what is replaced, by what, and what else;
    which row must notice, at which size."""

    name: str
    file: str
    old: str
    new: str
    row: str
    scale: float
    also: tuple[str, str] = ("", "")


MISTAKES: Sequence[Mistake] = (
    Mistake("the file is not synced", STORE, "        os.fsync(self._descriptor)\n", "", "power", 0.3),
    Mistake(
        "the folder is not synced",
        STORE,
        "        self.path = target\n        _sync_folder(folder)\n",
        "        self.path = target\n",
        "power",
        0.3,
    ),
    Mistake(
        "SQLite does not sync its commits",
        ENGINE,
        'f"synchronous = {synchronous}"',
        '"synchronous = NORMAL"',
        "power",
        0.3,
        ('if synchronous < _SYNCHRONOUS.index("FULL"):', "if synchronous < 0:"),  # or it would refuse to start
    ),
    Mistake(
        "acknowledged before the commit",
        SERVICE,
        "            await self._log.add(job, line, self._made_since(job), admission.allowance(self._clock()))\n",
        "            self._spawn(self._log.add(job, line, self._made_since(job), admission.allowance(self._clock())))\n",
        "power",
        0.3,
    ),
    Mistake("the idempotency key is ignored", SERVICE, "key=idempotency_key,", "key=None,", "uploads", 0.06),
    Mistake(
        "any version may be overwritten (compare-and-set dropped)",
        LOG,
        " WHERE job_id = :job_id AND version = :version - 1",
        " WHERE job_id = :job_id AND version = version + 0 * :version",
        "callbacks",
        0.05,
    ),
    Mistake(
        "lost leases are not looked for (due_at forgotten)",
        LIFE,
        "        return _lease_lost(job)\n",
        "        return None\n",
        "recovery",
        0.5,
    ),
    Mistake(
        "any token opens every job", "domain/signing.py", "return authentic and", "return True or", "callbacks", 0.05
    ),
    Mistake(
        "callbacks' signatures are not compared",
        "domain/signing.py",
        "def webhook_is_authentic(",
        "def webhook_is_authentic(*_: object) -> bool:\n    return True\n\n\ndef unused(",
        "callbacks",
        0.05,
    ),
    Mistake(
        "started before it is due", LIFE, "if job.due_at is None or at < job.due_at:\n", "if False:\n", "attackers", 1
    ),
    Mistake(
        "progress may go back",
        "services/callbacks.py",
        "round(new, 3) < old",
        "round(new, 3) < -1",
        "callbacks",
        0.05,
    ),
    Mistake(
        "a failure overwrites a success",
        "services/callbacks.py",
        '    if job.status.ended:\n        return _evidence(job, callback, f"the job has ended: {job.status}")\n    failed',
        "    failed",
        "callbacks",
        0.05,
    ),
    Mistake(
        "each copy has a boundary of its own",
        "infrastructure/webhook_body.py",
        "boundary=grant(Scope.BOUNDARY, job.job_id)",
        "boundary=f'b{job.attempt}'",
        "recovery",
        0.5,
    ),
    Mistake(
        "the signature covers other bytes than are sent",
        "infrastructure/runner_webhook.py",
        "now, body.signed)",
        "now, body.signed[1:])",
        "clean",
        0.02,
    ),
    Mistake(
        "the sweep looks for no job that lost its doorbell",
        SERVICE,
        "new_before=before,",
        "new_before=None,",
        "redis",
        0.1,
    ),
    Mistake(
        "an audit line leaves out the attempt",
        LIFE,
        "    if isinstance(event, Noted):\n        public",
        "    public.pop('attempt', None)\n    if isinstance(event, Noted):\n        public",
        "clean",
        0.02,
    ),
    Mistake(
        "events are sent from the first again",
        "api/v1/events.py",
        "return min(int(last_event_id), job.version) if known else 0",
        "return 0",
        "kills",
        0.1,
    ),
    Mistake(
        "doorbells run what they name",
        "infrastructure/doorbell_rq.py",
        "    return found if plain == expected and inflate.eof else None",
        "    import importlib as i\n    name, _, a, _ = json.loads(plain + inflate.decompress(inflate.unconsumed_tail))\n"
        "    where, _, what = name.rpartition('.')\n"
        "    where != 'app.worker' and getattr(i.import_module(where), what)(*a)\n    return found",
        "attackers",
        1,
    ),
    Mistake(
        "what a receiver of notices answered is logged",
        "infrastructure/notifier_webhook.py",
        "DeliveryTrouble(kind, status_in_words(answer.status), ",
        "DeliveryTrouble(kind, answer.text, ",
        "secrets",
        1,
    ),
    Mistake(
        "an answer is kept with what it echoes",
        "infrastructure/runner_webhook.py",
        "secrets = [bearer, *self._unspeakable(derived)]",
        "secrets = list[str]()",
        "secrets",
        1,
    ),
    Mistake(
        "what a step made is not stored",
        "infrastructure/step_store_sql.py",
        "batch.many(KEEP, rows)",
        "rows.clear()",
        "steps",
        0.3,
    ),
    Mistake(
        "a schedule's time is not the key of its job",
        "services/schedules.py",
        "_parts(schedule), key)",
        "_parts(schedule), None)",
        "steps",
        0.3,
    ),
)


async def run(setup: Setup) -> Outcome:
    """The row: each mistake in a copy of its own, and the row that is to find it; some at a time, as most of them wait."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, mistake: Mistake) -> str | None:
        async with gate:
            said = await _planted_and_tried(setup, setup.folder / str(number), mistake)
        setup.say(f"{mistake.name}: {said or 'NOT FOUND'}")
        return said

    found = await asyncio.gather(*(one(number, mistake) for number, mistake in enumerate(MISTAKES)))
    words = [
        f"{mistake.name}: {mistake.row}: {said}"[:230] for mistake, said in zip(MISTAKES, found, strict=True) if said
    ]
    problems = [f"{mistake.name}: not found" for mistake, said in zip(MISTAKES, found, strict=True) if not said]
    return Outcome(figures=[f"{len(words)} of {len(MISTAKES)} planted mistakes found", *words], problems=problems)


async def _planted_and_tried(setup: Setup, folder: Path, mistake: Mistake) -> str | None:
    """What was found wrong with a copy that has this mistake. Raises ValueError where it can no longer be planted."""
    root = await asyncio.to_thread(planted, setup.root, folder / "product", mistake)
    if root is None:
        raise ValueError(f"{mistake.name}: {mistake.file} has changed; plant it anew")
    tried = replace(
        setup, row=mistake.row, root=root, scale=mistake.scale, full=False, folder=folder, database="sqlite"
    )
    try:
        return await _tried(tried, mistake)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _tried(setup: Setup, mistake: Mistake) -> str | None:
    """The first thing that the row found wrong."""
    row: RowProgram = importlib.import_module(f"chaos.rows.{NAMES[mistake.row]}").ROW
    try:
        outcome = await row.run(setup)
    except Exception as error:  # noqa: BLE001 - a product that does not even start is found, too
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    return next(iter(outcome.problems), None)


def planted(root: Path, copy: Path, mistake: Mistake) -> Path | None:
    """A copy of the product with this mistake in it; None where its words are not found, or not once."""
    for name in ("app", "migrations"):
        shutil.copytree(root / name, copy / name)  # with what is compiled: to do it anew takes seconds a copy
    for name in ("main.py", "rq_worker.py", "alembic.ini"):
        shutil.copy(root / name, copy / name)
    file = copy / "app" / mistake.file
    text = file.read_text()
    for old, new in ((mistake.old, mistake.new), mistake.also):
        if old and text.count(old) != 1:
            return None
        text = text.replace(old, new) if old else text
    file.write_text(text)
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()
    return copy


ROW = RowProgram(
    name="planted",
    promise="every mistake planted in a copy of the product is found by the row that is there for it",
    goal="every planted mistake found, at least 12",
    run=run,
    takes=400,
)
