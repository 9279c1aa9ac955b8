"""Two-phase credit: invariants under every order of operations."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from backend.paylater.credit_line import (
    MAX_HOLDS,
    CreditExhausted,
    CreditLine,
    Hold,
    HoldArchived,
    HoldExceeded,
    HoldResolved,
    Movement,
    Superseded,
    TransferChanged,
    UnknownHold,
    hold,
    move,
    post,
    supersede,
    void,
)
from backend.problems import Problem

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
MONTH = timedelta(days=30)


def make_account(limit_fen: int = 100_000) -> CreditLine:
    return CreditLine(limit_fen=limit_fen)


def held(
    account: CreditLine,
    name: str,
    fen: int,
    at: datetime = NOON,
    *,
    allow_partial: bool = False,
    over_limit: bool = False,
) -> CreditLine:
    return hold(account, Hold(name, fen, fen, at, at + MONTH, over_limit), at, allow_partial=allow_partial)


def test_held_credit_is_not_available() -> None:
    account = held(make_account(100_000), "visit", 30_000)
    assert (account.held_fen(NOON), account.used_fen(), account.available_fen(NOON)) == (30_000, 0, 70_000)


def test_a_hold_over_the_limit_is_refused_and_changes_nothing() -> None:
    account = held(make_account(100_000), "visit", 30_000)
    with pytest.raises(CreditExhausted) as refused:
        held(account, "other", 70_001)
    assert refused.value.members == {"requested_fen": 70_001, "available_fen": 70_000}


def test_the_whole_limit_can_be_held() -> None:
    assert held(make_account(100_000), "visit", 100_000).available_fen(NOON) == 0


def test_a_partial_hold_takes_what_the_limit_leaves() -> None:
    account = held(held(make_account(100_000), "visit", 80_000), "other", 50_000, allow_partial=True)
    other = account.find("other")
    assert other is not None
    assert (other.requested_fen, other.amount_fen) == (50_000, 20_000)


def test_posting_less_than_was_held_frees_the_rest() -> None:
    account = post(held(make_account(100_000), "visit", 50_000), "visit", 12_345, NOON)
    assert (account.held_fen(NOON), account.used_fen(), account.available_fen(NOON)) == (0, 12_345, 87_655)


def test_no_more_is_posted_than_was_held() -> None:
    with pytest.raises(HoldExceeded):
        post(held(make_account(), "visit", 500), "visit", 501, NOON)


def test_posting_twice_is_posting_once() -> None:
    account = post(held(make_account(), "visit", 500), "visit", 400, NOON)
    assert post(account, "visit", 400, NOON) is account


def test_posting_another_amount_under_the_same_id_is_refused() -> None:
    account = post(held(make_account(), "visit", 500), "visit", 400, NOON)
    with pytest.raises(TransferChanged):
        post(account, "visit", 300, NOON)


def test_a_voided_hold_cannot_be_posted() -> None:
    account = void(held(make_account(), "visit", 500), "visit", NOON)
    assert account.available_fen(NOON) == account.limit_fen
    with pytest.raises(HoldResolved):
        post(account, "visit", 400, NOON)


def test_a_posted_hold_cannot_be_voided() -> None:
    account = post(held(make_account(), "visit", 500), "visit", 400, NOON)
    with pytest.raises(HoldResolved):
        void(account, "visit", NOON)


def test_a_hold_uses_the_limit_until_it_expires() -> None:
    account = held(make_account(), "visit", 500)
    before, at = NOON + MONTH - timedelta(milliseconds=1), NOON + MONTH
    assert (account.held_fen(before), account.held_fen(at)) == (500, 0)
    with pytest.raises(HoldResolved) as refused:
        post(account, "visit", 400, at)
    assert refused.value.members == {"state": "expired"}
    assert [account.holds[0].is_pending(now) for now in (before, at)] == [True, False]


def test_an_unknown_hold_is_named() -> None:
    with pytest.raises(UnknownHold, match="nothing"):
        post(make_account(), "nothing", 1, NOON)


def test_repaid_debt_becomes_available_again() -> None:
    account = post(held(make_account(100_000), "visit", 500), "visit", 400, NOON)
    account = move(account, "visit", "payment", "repay", 400, NOON)
    assert (account.used_fen(), account.available_fen(NOON)) == (0, 100_000)


def test_a_repayment_is_recorded_once_and_cannot_exceed_the_debt() -> None:
    account = post(held(make_account(), "visit", 500), "visit", 400, NOON)
    account = move(account, "visit", "payment", "repay", 300, NOON)
    assert move(account, "visit", "payment", "repay", 300, NOON) is account
    with pytest.raises(HoldExceeded):
        move(account, "visit", "another", "repay", 101, NOON)
    with pytest.raises(TransferChanged):
        move(account, "visit", "payment", "repay", 200, NOON)


def test_a_debt_that_was_paid_and_then_released_is_owed_back() -> None:
    account = post(held(make_account(), "visit", 500), "visit", 400, NOON)
    account = move(account, "visit", "payment", "repay", 400, NOON)
    account = move(account, "visit", "credited", "release", 150, NOON)
    assert account.holds[0].owed_fen() == -150
    account = move(account, "visit", "refund", "return", 150, NOON)
    assert account.holds[0].owed_fen() == 0


def test_returns_cannot_exceed_repayments() -> None:
    account = post(held(make_account(), "visit", 500), "visit", 400, NOON)
    account = move(account, "visit", "payment", "repay", 100, NOON)
    with pytest.raises(HoldExceeded):
        move(account, "visit", "refund", "return", 101, NOON)


def test_credit_that_is_owed_back_does_not_raise_the_limit() -> None:
    account = post(held(make_account(1_000), "visit", 500), "visit", 500, NOON)
    account = move(account, "visit", "payment", "repay", 500, NOON)
    account = move(account, "visit", "credited", "release", 200, NOON)
    assert (account.used_fen(), account.available_fen(NOON)) == (0, 1_000)


def test_an_exception_does_not_use_the_limit() -> None:
    account = held(held(make_account(1_000), "visit", 1_000), "emergency", 700, over_limit=True)
    assert (account.held_fen(NOON), account.over_limit_fen(NOON), account.available_fen(NOON)) == (1_000, 700, 0)


def test_exceptions_held_and_owed_count_over_the_limit_but_what_is_owed_back_does_not_lower_them() -> None:
    account = post(held(make_account(), "overpaid", 500, over_limit=True), "overpaid", 500, NOON)
    account = move(account, "overpaid", "payment", "repay", 500, NOON)
    account = move(account, "overpaid", "credited", "release", 200, NOON)
    account = post(held(account, "unpaid", 300, over_limit=True), "unpaid", 300, NOON)
    account = held(account, "new", 700, over_limit=True)
    assert account.over_limit_fen(NOON) == 300 + 700


def test_a_lowered_limit_leaves_no_available_credit_and_keeps_the_debt() -> None:
    account = post(held(make_account(1_000), "visit", 900), "visit", 900, NOON)
    account = replace(account, limit_fen=500)
    assert (account.used_fen(), account.available_fen(NOON)) == (900, 0)


def test_a_hold_is_placed_once_and_its_id_is_refused_for_another_amount_or_purpose() -> None:
    account = held(make_account(1_000), "visit", 500)
    assert held(account, "visit", 500) is account
    with pytest.raises(TransferChanged):
        held(account, "visit", 501)
    with pytest.raises(TransferChanged):
        held(account, "visit", 500, over_limit=True)


def test_voiding_twice_is_voiding_once() -> None:
    account = void(held(make_account(), "visit", 500), "visit", NOON)
    assert void(account, "visit", NOON) is account
    with pytest.raises(HoldResolved) as refused:
        post(account, "visit", 400, NOON)
    assert refused.value.members == {"state": "voided"}


def test_nothing_may_be_posted_and_the_whole_hold_becomes_available_again() -> None:
    account = post(held(make_account(1_000), "visit", 500), "visit", 0, NOON)
    assert (account.used_fen(), account.available_fen(NOON)) == (0, 1_000)


def test_the_smallest_repayment_is_one_fen() -> None:
    account = post(held(make_account(), "visit", 500), "visit", 400, NOON)
    assert move(account, "visit", "payment", "repay", 1, NOON).used_fen() == 399
    with pytest.raises(HoldExceeded):
        move(account, "visit", "payment", "repay", 0, NOON)


def test_nothing_is_repaid_on_a_hold_that_is_not_posted() -> None:
    with pytest.raises(HoldResolved):
        move(held(make_account(), "visit", 500), "visit", "payment", "repay", 100, NOON)


def test_debt_over_the_limit_does_not_use_the_limit() -> None:
    account = post(held(make_account(1_000), "emergency", 700, over_limit=True), "emergency", 700, NOON)
    assert (account.used_fen(), account.available_fen(NOON)) == (0, 1_000)


def test_an_earlier_decision_is_refused_after_a_later_one() -> None:
    account = supersede(held(make_account(), "visit", 500), "visit", 2)
    assert supersede(account, "visit", 2) is account
    with pytest.raises(Superseded):
        supersede(account, "visit", 1)


def test_archived_holds_cannot_be_placed_again() -> None:
    account = make_account(10**9)
    for number in range(MAX_HOLDS + 50):
        at = NOON + timedelta(days=number)
        account = void(held(account, f"visit-{number}", 100, at), f"visit-{number}", at)
    assert len(account.holds) == MAX_HOLDS
    with pytest.raises(HoldArchived):
        held(account, "visit-0", 100, NOON)


def test_unresolved_holds_are_never_archived() -> None:
    account = post(held(make_account(10**9), "unpaid", 100), "unpaid", 100, NOON)
    for number in range(MAX_HOLDS + 50):
        at = NOON + timedelta(days=number)
        account = void(held(account, f"visit-{number}", 100, at), f"visit-{number}", at)
    assert account.used_fen() == 100


def test_a_hold_that_is_still_pending_is_never_archived() -> None:
    account, at = held(make_account(10**9), "pending", 100), NOON
    for number in range(1, MAX_HOLDS + 50):
        at = NOON + timedelta(hours=2 * number)
        account = void(held(account, f"visit-{number}", 100, at), f"visit-{number}", at)
    pending = account.find("pending")
    assert pending is not None
    assert pending.is_pending(at)


def test_a_hold_of_the_instant_of_the_archive_date_is_archived() -> None:
    account = replace(make_account(), archived_until=NOON)
    with pytest.raises(HoldArchived):
        held(account, "visit", 100, NOON)
    assert held(account, "visit", 100, NOON + timedelta(milliseconds=1)).held_fen(NOON) == 100


def test_holds_that_were_repaid_are_archived() -> None:
    account = make_account(10**9)
    for number in range(MAX_HOLDS + 50):
        name, at = f"visit-{number}", NOON + timedelta(days=number)
        account = post(held(account, name, 100, at), name, 100, at)
        account = move(account, name, "payment", "repay", 100, at)
    assert len(account.holds) == MAX_HOLDS


def test_the_holds_that_were_created_first_are_archived_first() -> None:
    account, later = make_account(10**9), NOON + timedelta(days=MAX_HOLDS)
    for number in reversed(range(MAX_HOLDS)):
        at = NOON + timedelta(days=number)
        account = void(held(account, f"visit-{number}", 100, at), f"visit-{number}", at)
    account = held(account, "later", 100, later)
    assert (account.find("visit-0"), account.archived_until) == (None, NOON)


def test_no_hold_is_archived_within_a_day() -> None:
    account = make_account(10**9)
    for number in range(MAX_HOLDS + 50):
        account = void(held(account, f"visit-{number}", 100), f"visit-{number}", NOON)
    day_later = NOON + timedelta(days=1)
    assert len(held(account, "other", 100, day_later).holds) == MAX_HOLDS + 51
    assert len(held(account, "other", 100, day_later + timedelta(milliseconds=1)).holds) == MAX_HOLDS


def test_an_old_hold_that_is_archived_late_does_not_move_the_archive_date_back() -> None:
    account = post(held(make_account(10**9), "unpaid", 100), "unpaid", 100, NOON)
    for number in range(1, MAX_HOLDS + 50):
        at = NOON + timedelta(days=number)
        account = void(held(account, f"visit-{number}", 100, at), f"visit-{number}", at)
    before, at = account.archived_until, NOON + timedelta(days=MAX_HOLDS + 50)
    assert before == NOON + timedelta(days=50)
    account = held(move(account, "unpaid", "payment", "repay", 100, at), "other", 100, at)
    assert (account.find("unpaid"), account.archived_until) == (None, before)


NAMES = st.sampled_from([f"visit-{number}" for number in range(8)])
AMOUNTS = st.integers(0, 700)


class Interleavings(RuleBasedStateMachine):
    """Under any order and repetition of operations the limit holds and nothing is counted twice."""

    def __init__(self) -> None:
        super().__init__()
        self.account = make_account(1_000)
        self.now = NOON
        self.resolved: dict[str, str] = {}

    @rule(name=NAMES, fen=AMOUNTS, allow_partial=st.booleans())
    def hold(self, name: str, fen: int, allow_partial: bool) -> None:
        try:
            requested = Hold(name, fen, fen, NOON, NOON + timedelta(hours=9))
            self.account = hold(self.account, requested, self.now, allow_partial=allow_partial)
        except Problem:
            return

    @rule(name=NAMES, fen=AMOUNTS)
    def post(self, name: str, fen: int) -> None:
        try:
            self.account = post(self.account, name, fen, self.now)
        except Problem:
            return

    @rule(name=NAMES)
    def void(self, name: str) -> None:
        try:
            self.account = void(self.account, name, self.now)
        except Problem:
            return

    @rule(
        name=NAMES,
        transfer=st.sampled_from("abcdef"),
        kind=st.sampled_from(["repay", "release", "return"]),
        fen=AMOUNTS,
    )
    def move(self, name: str, transfer: str, kind: Movement, fen: int) -> None:
        try:
            self.account = move(self.account, name, f"{kind}-{transfer}", kind, fen, self.now)
        except Problem:
            return

    @rule(hours=st.integers(0, 3))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @invariant()
    def the_limit_is_kept(self) -> None:
        assert self.account.held_fen(self.now) + self.account.used_fen() <= self.account.limit_fen

    @invariant()
    def available_held_and_used_credit_make_up_the_limit(self) -> None:
        available, at = self.account.available_fen(self.now), self.now
        assert available + self.account.held_fen(at) + self.account.used_fen() == self.account.limit_fen

    @invariant()
    def each_hold_is_resolved_once(self) -> None:
        for one in self.account.holds:
            if not one.is_pending(self.now):
                state = "expired" if one.state == "held" else one.state
                assert self.resolved.setdefault(one.id, state) == state

    @invariant()
    def each_hold_balances(self) -> None:
        for one in self.account.holds:
            assert 0 <= one.moved_fen("release") <= one.posted_fen <= one.amount_fen <= one.requested_fen
            assert one.moved_fen("return") <= one.moved_fen("repay") <= one.posted_fen + one.moved_fen("return")


Interleavings.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestInterleavings = Interleavings.TestCase
