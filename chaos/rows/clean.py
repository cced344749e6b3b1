"""Deliveries with no fault at all, as fast as they go: no copy too many."""

from __future__ import annotations

from collections import Counter
from time import monotonic

from chaos import checker
from chaos.clients import Clients, hand_in_all, upload
from chaos.collect import stop_and_collect, until_ended
from chaos.journal import Journal
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, running

SHARE = 1000  # uploads at a time: a far side with thousands of callbacks under way times out its own calls
DEFAULTS = {"LEASE": "10s", "LEASE_RENEWAL": "3s", "SWEEP_EVERY": "1s", "N8N_TIMEOUT": "120s", "AMBIGUITY_WAIT": "60s"}


async def run(setup: Setup) -> Outcome:
    """The row: two workers, so that they could get in each other's way."""
    number, chance = setup.much(2000, 20_000), setup.chance()
    uploads = [upload(chance, f"clean-{setup.seed}-{index}", 4096) for index in range(number)]
    async with running(setup, workers=2, far={"manners": {"prompt": 4, "early": 1}}, settings=DEFAULTS) as stack:
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
        began = monotonic()
        for start in range(0, number, SHARE):
            await hand_in_all(clients, uploads[start : start + SHARE], 0.0, at_once=24)
            await until_ended(stack, 300)
        seconds = monotonic() - began
        await clients.close()
        evidence = await stop_and_collect(stack, tidy=False)
    copies = Counter(receipt.job_id for receipt in evidence.receipts)
    extra = copies.total() - len(copies)
    problems = in_words(checker.check(evidence))
    if extra or len(copies) != number:
        problems.append(f"{number} uploads, {len(copies)} of them delivered, {extra} copies too many")
    figure = (
        f"{len(copies)} jobs delivered, {extra} extra copies; {seconds:.0f} s from the first upload to the last end"
    )
    return Outcome(figures=[figure], problems=problems)


ROW = RowProgram(
    name="clean",
    promise="0 extra copies in deliveries without a fault",
    goal="0 extra copies in 2,000 deliveries",
    goal_full="0 extra copies in 20,000 deliveries",
    run=run,
    takes=120,
)
