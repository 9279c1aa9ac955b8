"""The next step of a claim, and when it is due."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from backend.benefits.audits import decide_appeal, file_appeal, reduce_open_instalments
from backend.benefits.budget import Entry
from backend.benefits.claim import (
    Appeal,
    Audit,
    ClaimInstalment,
    ClaimNotification,
    Clawback,
    Collection,
    cancel_remaining,
    has_recorded,
    prepare_entry,
    record_entry,
)
from backend.benefits.problems import NothingToAppeal
from backend.benefits.process import Step, is_cancellable, next_payable, next_step, schedule
from backend.benefits.transfers import request_payout
from backend.i18n import Text
from backend.services.talent_code.facts import BenefitFacts
from backend.services.talent_code.model.claim import Claim
from backend.store.time import to_ms

NOON = datetime(2026, 3, 2, 4, tzinfo=UTC)
PAID = ClaimInstalment(30_00, 0, "paid", paid_at=NOON)
REQUESTED = ClaimInstalment(30_00, 0, "requested", "claim/1", NOON)
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


@pytest.mark.parametrize(
    ("changes", "cancellable"),
    [
        ({}, True),
        ({"after_withdrawal": "go_on"}, False),
        ({"entry": Entry("claim/1", "pay", 30_00, NOON)}, False),
        ({"instalments": (REQUESTED, ClaimInstalment(20_00, 6))}, False),
        ({"state": "waiting"}, True),
        ({"state": "failed"}, False),
    ],
    ids=["granted", "goes on", "an entry in progress", "a payout in progress", "waiting", "failed"],
)
def test_a_lost_entitlement_cancels_a_claim_between_payouts_if_the_rules_stop_it(
    changes: dict[str, Any], *, cancellable: bool
) -> None:
    claim = replace(granted(PAID, ClaimInstalment(20_00, 6)), **changes)
    assert is_cancellable(claim) == cancellable


def test_the_open_instalments_of_a_cancelled_claim_are_cancelled() -> None:
    claim = cancel_remaining(granted(PAID, ClaimInstalment(20_00, 6), ClaimInstalment(50_00, 12)), NOON, "cancelled")
    assert [one.state for one in claim.instalments] == ["paid", "cancelled", "cancelled"]
    assert claim.entry is not None
    assert (claim.entry.kind, claim.entry.amount_fen) == ("release", 70_00)


@pytest.mark.parametrize(
    ("first", "state", "quota_delta"),
    [(PAID, "granted", 0), (ClaimInstalment(30_00), "failed", -1)],
    ids=["part was paid", "nothing was paid"],
)
def test_a_cancelled_claim_of_which_nothing_was_paid_has_failed_and_returns_its_place(
    first: ClaimInstalment, state: str, quota_delta: int
) -> None:
    claim = cancel_remaining(granted(first, ClaimInstalment(20_00, 6)), NOON, "cancelled")
    assert claim.state == state
    assert claim.entry is not None
    assert claim.entry.quota_delta == quota_delta


def test_a_reservation_that_is_not_confirmed_is_voided_under_its_own_id() -> None:
    reserving = replace(granted(ClaimInstalment(30_00)), state="waiting", reserved=False)
    claim = cancel_remaining(reserving, NOON, "failed")
    assert claim.entry == Entry("claim/0", "void", 0, NOON)
    assert cancel_remaining(replace(reserving, budget=None), NOON, "failed").entry is None


def test_an_entry_is_dated_after_the_last_one_whatever_the_clock_says() -> None:
    claim = replace(granted(ClaimInstalment(30_00)), entries=2, decided_at=NOON)
    behind = prepare_entry(claim, "pay", 30_00, NOON - timedelta(hours=1)).entry
    assert behind == Entry("claim/3", "pay", 30_00, NOON + timedelta(milliseconds=1))
    ahead = prepare_entry(claim, "pay", 30_00, NOON + timedelta(hours=1)).entry
    assert ahead == Entry("claim/3", "pay", 30_00, NOON + timedelta(hours=1))


@pytest.mark.parametrize(("progress", "index"), [(5, None), (6, 1), (12, 1)])
def test_the_first_open_instalment_is_paid_once_its_milestone_is_reached(progress: int, index: int | None) -> None:
    claim = granted(PAID, ClaimInstalment(20_00, 6), ClaimInstalment(50_00, 12))
    assert next_payable(replace(claim, progress=progress)) == index


@pytest.mark.parametrize(("entitled_fen", "index"), [(50_00, 1), (49_99, None)])
def test_an_instalment_is_withheld_if_it_exceeds_the_audited_amount(entitled_fen: int, index: int | None) -> None:
    """Of 80 yuan 30 were paid and the next instalment has 20, so an audit must leave 50."""
    claim = replace(
        granted(PAID, ClaimInstalment(20_00), ClaimInstalment(30_00)),
        audit=Audit(NOON, drawn=True, entitled_fen=entitled_fen, differing_facts=("homes",)),
        clawback=Clawback(0, NOON, NOON + timedelta(days=15), NOON + timedelta(days=45)),
    )
    assert next_payable(claim) == index


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"state": "draft"}, Step.REGISTER),
        ({"entry": Entry("claim/1", "pay", 30_00, NOON)}, Step.POST_ENTRY),
        ({"state": "claimed"}, Step.RESERVE),
        ({"state": "waiting"}, None),
        ({"entitlement_lost": True}, Step.CANCEL),
        ({"entitlement_lost": True, "after_withdrawal": "go_on"}, Step.PAY),
        ({}, Step.PAY),
    ],
    ids=["draft", "entry in progress", "claimed", "waiting", "entitlement lost", "goes on", "granted"],
)
def test_a_claim_is_registered_reserved_and_paid_or_cancelled(changes: dict[str, Any], step: Step | None) -> None:
    assert next_step(replace(granted(ClaimInstalment(30_00)), **changes), NOON, term) == step


def test_a_failed_payout_is_retried_at_its_time() -> None:
    retry_at = NOON + timedelta(days=1)
    claim = granted(ClaimInstalment(30_00, attempts=1, retry_at=retry_at))
    assert next_step(claim, retry_at - timedelta(milliseconds=1), term) is None
    assert next_step(claim, retry_at, term) == Step.PAY


def test_progress_is_not_checked_if_no_instalment_waits_for_it() -> None:
    audited = replace(granted(PAID, replace(PAID, milestone=6)), audit=Audit(NOON, drawn=False))
    assert schedule(audited, NOON, term).due_ms is None
    retry_at = NOON + timedelta(days=1)
    retried = replace(audited, instalments=(PAID, ClaimInstalment(20_00, 0, retry_at=retry_at)))
    assert schedule(retried, NOON, term).due_ms == to_ms(retry_at)


def test_a_claim_has_recorded_the_entries_before_the_one_in_progress() -> None:
    first, second = (Entry(f"claim/{number}", "pay", 10_00, NOON) for number in (1, 2))
    reserve, void = Entry("claim/0", "reserve", 30_00, NOON), Entry("claim/0", "void", 0, NOON)
    claim = record_entry(replace(granted(ClaimInstalment(30_00)), entry=first), first)
    assert (claim.entries, claim.entry, claim.failures) == (1, None, 0)
    assert [has_recorded(claim, entry) for entry in (reserve, first, second)] == [True, True, False]
    paying = replace(claim, entry=second)
    assert [has_recorded(paying, entry) for entry in (first, second)] == [True, False]
    assert record_entry(paying, second).entries == 2
    reserving = replace(claim, entries=0, reserved=False)
    assert [has_recorded(reserving, entry) for entry in (reserve, void)] == [False, True]
    assert not has_recorded(replace(reserving, entry=void), void)


def test_nothing_is_left_open_if_more_was_paid_than_the_audit_leaves() -> None:
    claim = replace(
        granted(PAID, ClaimInstalment(20_00, 6)),
        audit=Audit(NOON, drawn=True, entitled_fen=10_00, differing_facts=("homes",)),
    )
    assert reduce_open_instalments(claim, NOON, term).instalments == (PAID,)


def test_a_won_appeal_ends_the_reduction() -> None:
    claim = replace(
        granted(PAID, ClaimInstalment(20_00, 6)),
        audit=Audit(NOON, drawn=True, entitled_fen=30_00, differing_facts=("homes",)),
        clawback=Clawback(0, NOON, NOON + timedelta(days=15), NOON + timedelta(days=45)),
    )
    assert claim.clawback is not None
    assert claim.excess_fen == 20_00
    assert replace(claim, clawback=replace(claim.clawback, dropped_at=NOON)).excess_fen == 0
    assert replace(claim, clawback=None).excess_fen == 0


def test_a_failed_claim_no_longer_restricts_others() -> None:
    failed = replace(granted(ClaimInstalment(30_00, 0, "cancelled")), state="failed")
    assert next_step(failed, NOON, term) == Step.UNBLOCK
    assert next_step(replace(failed, unblocked=True), NOON, term) is None


def test_a_notification_is_sent_once() -> None:
    claim = replace(granted(PAID), notifications=(ClaimNotification("paid", NOON, 30_00),))
    assert next_step(claim, NOON, term) == Step.NOTIFY
    sent = replace(claim, notifications=(ClaimNotification("paid", NOON, 30_00, sent=True),))
    assert next_step(sent, NOON, term) is None


def test_progress_is_checked_fifteen_hours_after_the_claim_or_the_last_check() -> None:
    claim = granted(PAID, ClaimInstalment(20_00, 6))
    assert schedule(claim, NOON, term).due_ms == to_ms(NOON + timedelta(hours=15))
    checked = replace(claim, progress_checked_at=NOON + timedelta(days=1))
    assert schedule(checked, NOON, term).due_ms == to_ms(NOON + timedelta(days=1, hours=15))


def test_a_claim_is_audited_once_fifteen_days_after_its_first_payout() -> None:
    claim = granted(PAID, replace(PAID, paid_at=NOON + timedelta(days=3)))
    assert schedule(claim, NOON, term).due_ms == to_ms(NOON + timedelta(days=15))
    audited = replace(claim, audit=Audit(NOON, drawn=False))
    assert schedule(audited, NOON, term).due_ms is None


def clawed_back(*collections: Collection, appeal: Appeal | None = None) -> Claim:
    """Return a claim of which 10 of 30 yuan are to be paid back, and are collected from day 45 on."""
    return replace(
        granted(PAID),
        audit=Audit(NOON, drawn=True, entitled_fen=20_00, differing_facts=("homes",)),
        clawback=Clawback(
            10_00, NOON, NOON + timedelta(days=15), NOON + timedelta(days=45), appeal, collections=collections
        ),
    )


def test_a_debt_is_collected_at_its_deadline_and_again_a_day_after_each_failure() -> None:
    deadline = NOON + timedelta(days=45)
    early, late = (Collection("c", 10_00, at, "city", "failed") for at in (NOON, deadline))
    assert schedule(clawed_back(), NOON, term).due_ms == to_ms(deadline)
    assert schedule(clawed_back(early), NOON, term).due_ms == to_ms(deadline)
    assert schedule(clawed_back(early, late), NOON, term).due_ms == to_ms(deadline + timedelta(days=1))
    assert schedule(clawed_back(Collection("c", 10_00, NOON, "person", "done")), NOON, term).due_ms is None


def test_an_open_appeal_is_listed_and_suspends_the_collection() -> None:
    claim = schedule(clawed_back(appeal=Appeal("It was sold", NOON)), NOON, term)
    assert (claim.due_ms, claim.appealed_ms) == (None, to_ms(NOON))
    assert schedule(claim, NOON, term) is claim
    rejected = Appeal("It was sold", NOON, NOON, decision_upheld=True)
    claim = schedule(clawed_back(appeal=rejected), NOON, term)
    assert (claim.due_ms, claim.appealed_ms) == (to_ms(NOON + timedelta(days=45)), None)


APPEAL_ENDS = NOON + timedelta(days=15)


@pytest.mark.parametrize(
    ("claim", "at"),
    [
        (granted(PAID), NOON),
        (clawed_back(), APPEAL_ENDS),
        (clawed_back(Collection("c", 10_00, NOON, "person", "done")), NOON),
        (clawed_back(appeal=Appeal("Another text", NOON)), NOON),
    ],
    ids=["nothing clawed back", "too late", "already repaid", "a second appeal"],
)
def test_an_appeal_is_refused_if_there_is_nothing_to_appeal_any_more(claim: Claim, at: datetime) -> None:
    with pytest.raises(NothingToAppeal):
        file_appeal(claim, at, text="It was sold")


def test_an_appeal_is_filed_once_until_the_last_instant_of_its_period() -> None:
    last = APPEAL_ENDS - timedelta(milliseconds=1)
    appealed = file_appeal(clawed_back(Collection("c", 10_00, NOON, "person", "failed")), last, text="It was sold")
    assert appealed.clawback is not None
    assert appealed.clawback.appeal == Appeal("It was sold", last)
    assert file_appeal(appealed, APPEAL_ENDS, text="It was sold") is appealed


@pytest.mark.parametrize(
    ("amount_fen", "decision_upheld", "kind"),
    [
        (1, True, "appeal_rejected"),
        (1, False, "appeal_granted"),
        (0, True, "reduction_confirmed"),
        (0, False, "reduction_cancelled"),
    ],
)
def test_the_decision_on_an_appeal_is_notified_and_ends_the_clawback_or_leaves_thirty_days_to_repay(
    amount_fen: int, kind: str, *, decision_upheld: bool
) -> None:
    claim, at = clawed_back(appeal=Appeal("It was sold", NOON)), NOON + timedelta(days=100)
    assert claim.clawback is not None
    claim = replace(claim, clawback=replace(claim.clawback, amount_fen=amount_fen))
    decided = decide_appeal(claim, at, decision_upheld=decision_upheld, reason=NONE)
    assert decided.clawback is not None
    assert decided.clawback.dropped_at == (None if decision_upheld else at)
    assert decided.clawback.collect_at == at + timedelta(days=30)
    assert [(one.kind, one.amount_fen) for one in decided.notifications] == [(kind, amount_fen)]
    assert decide_appeal(decided, at, decision_upheld=decision_upheld, reason=NONE) is decided
    with pytest.raises(NothingToAppeal):
        decide_appeal(decided, at, decision_upheld=not decision_upheld, reason=NONE)


def test_an_early_decision_does_not_shorten_the_time_to_repay() -> None:
    decided = decide_appeal(clawed_back(appeal=Appeal("Sold", NOON)), NOON, decision_upheld=True, reason=NONE)
    assert decided.clawback is not None
    assert decided.clawback.collect_at == NOON + timedelta(days=45)


def test_nothing_is_decided_without_an_appeal() -> None:
    for claim in (granted(PAID), clawed_back()):
        with pytest.raises(NothingToAppeal):
            decide_appeal(claim, NOON, decision_upheld=True, reason=NONE)


def test_what_came_back_and_what_an_appeal_ended_is_no_longer_owed() -> None:
    done, failed = (Collection("c", 4_00, NOON, "person", state) for state in ("done", "failed"))
    assert [(one.returned_fen, one.owed_fen) for one in (clawed_back(failed), clawed_back(done, failed))] == [
        (0, 10_00),
        (4_00, 6_00),
    ]
    clawback = clawed_back().clawback
    assert clawback is not None
    assert replace(clawed_back(), clawback=replace(clawback, dropped_at=NOON)).owed_fen == 0


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
