"""A review's proof runs in a process of its own: several at once, and none outlives its review."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from backend.rulebook import read_rules
from backend.rulebook.prover import is_installed
from backend.services.rules.proof import Answer, Question, prove
from tests.conftest import ROOT
from tests.servers import wait_until

TRANSPORT = "talent_code.benefits.transport"
TEXTS = {name: file.text for name, file in read_rules(ROOT / "rules").items()}

pytestmark = pytest.mark.skipif(not is_installed(), reason="the solver is not installed")


def lowered_to(yuan: int) -> Question:
    """Ask about a lower allowance, which leaves somebody worse off."""
    new = TEXTS | {TRANSPORT: TEXTS[TRANSPORT].replace("value: 50", f"value: {yuan}")}
    return Question(str(ROOT / "rules"), "Asia/Shanghai", {}, TEXTS, new, f"{yuan:064x}", 60.0)


def processes() -> set[int]:
    """Return the processes that this one has started and not waited for."""
    found: set[int] = set()
    for children in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        with suppress(OSError):  # that thread has ended
            found |= set(map(int, children.read_text("ascii").split()))
    return found


def test_proofs_of_several_reviews_run_at_once() -> None:
    async def prove_all() -> list[Answer]:
        return await asyncio.gather(*(prove(lowered_to(yuan)) for yuan in (10, 20, 30)))

    reports = [answer.report for answer in asyncio.run(prove_all())]
    assert [report and report.answer for report in reports] == ["counterexample"] * 3


def test_a_proof_that_is_killed_is_an_error_of_its_review_alone() -> None:
    async def prove_and_kill() -> None:
        before = processes()
        proof = asyncio.create_task(prove(lowered_to(10)))
        await asyncio.to_thread(wait_until, lambda: processes() - before)
        (started,) = processes() - before
        os.kill(started, signal.SIGSEGV)
        await proof

    with pytest.raises(RuntimeError, match=f"ended with -{signal.SIGSEGV}"):
        asyncio.run(prove_and_kill())


def test_a_proof_ends_with_the_server_that_wants_it() -> None:
    async def prove_and_stop() -> set[int]:
        before = processes()
        proof = asyncio.create_task(prove(lowered_to(10)))
        await asyncio.to_thread(wait_until, lambda: processes() - before)
        proof.cancel()
        with suppress(asyncio.CancelledError):
            await proof
        return processes() - before

    assert asyncio.run(prove_and_stop()) == set()
