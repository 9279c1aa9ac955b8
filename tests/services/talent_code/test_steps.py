"""The next step of a claim, and when it is due."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from msgspec.structs import replace

from backend.benefits.claim import Appeal, Audit, ClaimInstalment, Clawback, Collection, cancel_remaining
from backend.benefits.process import Step, is_cancellable, next_step, schedule
from backend.benefits.transfers import request_payout
from backend.i18n import Text
from backend.services.talent_code.facts import BenefitFacts
from backend.services.talent_code.model.claim import Claim
from backend.store.time import to_ms

NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
PAID = ClaimInstalment(30_00, 0, "paid", paid_at=NOON)
NONE = Text("", "")


def granted(*instalments: ClaimInstalment) -> Claim:
    """Return a granted claim with these instalments, whose money is reserved."""
    amount_fen = sum(one.amount_fen for one in instalments)
    return Claim(
        id="claim",
        subject="p",
        benefit="home_purchase",
        title=NONE,
        claimed_at=NOON,
        claimed_ms=to_ms(NOON),
        facts=BenefitFacts(born_at=NOON, talent_class="e"),
        stated=(),
        rule="class-e",
        because=NONE,
        figure=amount_fen,
        amount_fen=amount_fen,
        rulebook="",
        after_withdrawal="stop",
        instalments=instalments,
        state="granted",
        budget="budget",
        reserved=True,
    )


def term(_name: str) -> int:
    return 15


def test_a_withdrawn_class_does_not_cancel_a_claim_that_is_paid_in_full() -> None:
    assert is_cancellable(granted(PAID, ClaimInstalment(20_00, 6)))
    assert not is_cancellable(granted(PAID, replace(PAID, amount_fen=20_00)))


def test_the_open_instalments_of_a_cancelled_claim_are_cancelled() -> None:
    claim = cancel_remaining(granted(PAID, ClaimInstalment(20_00, 6), ClaimInstalment(50_00, 12)), NOON, "cancelled")
    assert [one.state for one in claim.instalments] == ["paid", "cancelled", "cancelled"]
    assert claim.entry is not None
    assert (claim.entry.kind, claim.entry.amount_fen) == ("release", 70_00)


@pytest.mark.parametrize(
    ("appeal", "step"),
    [
        (None, None),
        (Appeal("It was sold", NOON), None),
        (Appeal("It was sold", NOON, NOON + timedelta(days=1), decision_upheld=True), Step.REDUCE),
    ],
    ids=["no appeal yet", "an open appeal", "an appeal that was rejected"],
)
def test_open_instalments_are_reduced_as_soon_as_an_appeal_is_rejected(
    appeal: Appeal | None, step: Step | None
) -> None:
    claim = replace(
        granted(PAID, ClaimInstalment(20_00, 6)),
        audit=Audit(NOON, drawn=True, entitled_fen=30_00, differing_facts=("homes",)),
        clawback=Clawback(0, NOON, NOON + timedelta(days=15), NOON + timedelta(days=45), appeal),
    )
    assert next_step(claim, NOON + timedelta(days=1), term) == step


@pytest.mark.parametrize(("state", "step"), [("failed", None), ("done", Step.REDUCE)])
def test_open_instalments_are_reduced_as_soon_as_the_excess_is_repaid(
    state: Literal["failed", "done"], step: Step | None
) -> None:
    """Of 50 yuan 30 were paid, and an audit leaves 20: 10 are repaid, which ends the right to appeal."""
    repayment = Collection("repayment", 10_00, NOON, "person", state)
    claim = replace(
        granted(PAID, ClaimInstalment(20_00, 6)),
        audit=Audit(NOON, drawn=True, entitled_fen=20_00, differing_facts=("homes",)),
        clawback=Clawback(10_00, NOON, NOON + timedelta(days=15), NOON + timedelta(days=45), collections=(repayment,)),
    )
    assert next_step(claim, NOON + timedelta(days=1), term) == step


def test_a_payout_without_an_answer_is_due_twenty_seconds_after_its_request() -> None:
    claim = schedule(request_payout(granted(ClaimInstalment(30_00, 0)), NOON, term), NOON, term)
    assert claim.due_ms == to_ms(NOON + timedelta(seconds=20))


@pytest.mark.parametrize(("failures", "seconds"), [(0, 5), (1, 10), (9, 2_560), (10, 3_600), (500, 3_600)])
def test_a_step_that_is_due_is_retried_after_five_seconds_and_ever_later(failures: int, seconds: int) -> None:
    claim = schedule(replace(granted(ClaimInstalment(30_00, 0)), failures=failures), NOON, term)
    assert claim.due_ms == to_ms(NOON + timedelta(seconds=seconds))
