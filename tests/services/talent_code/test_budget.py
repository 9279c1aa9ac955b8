"""A budget is exact to the fen: each entry is applied once, however late or often it is sent."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from backend.benefits.budget import (
    MAX_ENTRIES,
    MIN_RETENTION,
    BudgetExhausted,
    Entry,
    EntryKind,
    StaleEntry,
    apply_entry,
    budget_id,
    prunable_entries,
    prune_entries,
)
from backend.services.talent_code.model.claim import Budget

NOON = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
HUNDRED = Budget(id="rent:2026", limit_fen=100_00)


def entry(name: str, kind: EntryKind, fen: int = 0, places: int = 0, *, seconds: float = 0) -> Entry:
    return Entry(name, kind, fen, NOON + timedelta(seconds=seconds), places)


def reserve(claim: str, fen: int, *, seconds: float = 0) -> Entry:
    return entry(f"{claim}/0", "reserve", fen, 1, seconds=seconds)


def void(claim: str, *, seconds: float = 0) -> Entry:
    return entry(f"{claim}/0", "void", seconds=seconds)


def made(budget: Budget, *entries: Entry) -> Budget:
    for one in entries:
        budget = apply_entry(budget, one)
    return budget


def sums(budget: Budget) -> tuple[int, int, int, int]:
    return budget.reserved_fen, budget.paid_fen, budget.returned_fen, budget.quota_used


# ── each kind of entry ──


def test_a_budgets_id_is_its_benefit_and_year() -> None:
    assert budget_id("home_purchase", 2026) == "home_purchase:2026"


def test_an_entry_names_its_claim() -> None:
    assert (reserve("c1", 1).claim, entry("c1/12", "pay").claim) == ("c1", "c1")


def test_money_is_reserved_then_paid_and_returned() -> None:
    history = [
        (reserve("c1", 60_00), (60_00, 0, 0, 1), 40_00),
        (entry("c1/1", "pay", 30_00), (30_00, 30_00, 0, 1), 40_00),
        (entry("c1/2", "release", 10_00), (20_00, 30_00, 0, 1), 50_00),
        (entry("c1/3", "pay", 20_00), (0, 50_00, 0, 1), 50_00),
        (entry("c1/4", "return", 5_01), (0, 50_00, 5_01, 1), 55_01),
    ]
    budget = HUNDRED
    for one, after, free_fen in history:
        budget = apply_entry(budget, one)
        assert (sums(budget), budget.free_fen) == (after, free_fen)


def test_a_released_reservation_frees_its_money_and_its_place() -> None:
    budget = made(HUNDRED, reserve("c1", 60_00), entry("c1/1", "release", 60_00, -1))
    assert (sums(budget), budget.free_fen) == ((0, 0, 0, 0), 100_00)


def test_a_repeated_entry_changes_nothing() -> None:
    entries = [
        reserve("c1", 60_00),
        entry("c1/1", "pay", 30_00),
        entry("c1/2", "release", 30_00),
        entry("c1/3", "return", 1),
        void("c2"),
    ]
    budget = made(HUNDRED, *entries)
    for one in entries:
        assert apply_entry(budget, one) is budget


def test_pruning_closes_a_budget_until_the_latest_decision_on_an_applied_entry() -> None:
    decided_again = made(HUNDRED, reserve("c1", 60_00), reserve("c1", 60_00, seconds=9), reserve("c1", 60_00))
    assert sums(decided_again) == (60_00, 0, 0, 1)
    dropped = prune_entries(decided_again, {"c1/0"})
    with pytest.raises(StaleEntry):
        apply_entry(dropped, reserve("c1", 60_00, seconds=9))


def test_an_id_belongs_to_one_movement() -> None:
    budget = made(HUNDRED, reserve("c1", 60_00), entry("c1/1", "pay", 30_00))
    for other in (reserve("c1", 60_01), entry("c1/1", "pay", 30_01), entry("c1/1", "return", 30_00)):
        with pytest.raises(AssertionError, match="one movement"):
            apply_entry(budget, other)


def test_money_that_was_paid_and_released_is_released_in_whichever_order_both_arrive() -> None:
    """A process posted a payment, and another one stored that the bank had refused it."""
    reserved = made(HUNDRED, reserve("c1", 60_00))
    paid, released = entry("c1/1", "pay", 60_00), entry("c1/1", "release", 60_00, -1, seconds=1)
    assert sums(made(reserved, paid, released)) == (0, 0, 0, 0)
    with pytest.raises(StaleEntry):
        made(reserved, released, paid)


def test_no_more_is_paid_released_or_returned_than_was_reserved_or_paid() -> None:
    budget = made(HUNDRED, reserve("c1", 60_00))
    for kind in ("pay", "release"):
        with pytest.raises(AssertionError, match="than was reserved"):
            apply_entry(budget, entry("c1/1", kind, 60_01))
    with pytest.raises(AssertionError, match="than was paid"):
        apply_entry(budget, entry("c1/1", "return", 1))


# ── never overspent ──


def test_the_last_fen_can_be_reserved_and_no_more() -> None:
    budget = made(HUNDRED, reserve("c1", 60_00))
    with pytest.raises(BudgetExhausted):
        apply_entry(budget, reserve("c2", 40_01))
    assert apply_entry(budget, reserve("c2", 40_00)).free_fen == 0


def test_paid_money_is_spent_and_returned_money_is_available_again() -> None:
    paid = made(HUNDRED, reserve("c1", 100_00), entry("c1/1", "pay", 100_00))
    with pytest.raises(BudgetExhausted):
        apply_entry(paid, reserve("c2", 1))
    returned = apply_entry(paid, entry("c1/2", "return", 40_00))
    with pytest.raises(BudgetExhausted):
        apply_entry(returned, reserve("c2", 40_01))
    assert apply_entry(returned, reserve("c2", 40_00)).free_fen == 0


def test_a_quota_limits_the_number_of_claims_whatever_money_is_left() -> None:
    budget = made(replace(HUNDRED, quota=2), reserve("c1", 1), reserve("c2", 1))
    assert budget.quota_is_full
    with pytest.raises(BudgetExhausted):
        apply_entry(budget, reserve("c3", 1))
    freed = made(budget, entry("c1/1", "release", 1, -1), reserve("c3", 1))
    assert freed.quota_used == 2


def test_without_a_quota_the_number_of_claims_is_unlimited() -> None:
    assert not made(HUNDRED, *(reserve(f"c{number}", 1) for number in range(50))).quota_is_full


def test_a_limit_lowered_below_the_spent_amount_leaves_nothing_and_takes_nothing_back() -> None:
    lowered = replace(made(HUNDRED, reserve("c1", 60_00), entry("c1/1", "pay", 30_00)), limit_fen=50_00)
    assert lowered.free_fen == 0
    with pytest.raises(BudgetExhausted):
        apply_entry(lowered, reserve("c2", 1))
    paid = apply_entry(lowered, entry("c1/2", "pay", 30_00))
    assert (sums(paid), paid.free_fen) == ((0, 60_00, 0, 1), 0)


# ── void ──


def test_a_void_undoes_an_applied_reservation() -> None:
    budget = made(HUNDRED, reserve("c1", 60_00), void("c1", seconds=1))
    assert (sums(budget), budget.free_fen) == ((0, 0, 0, 0), 100_00)
    assert apply_entry(budget, void("c1", seconds=1)) is budget


def test_a_reservation_that_was_voided_is_never_applied_however_late_it_is_sent() -> None:
    for budget in (made(HUNDRED, void("c1", seconds=1)), made(HUNDRED, reserve("c1", 60_00), void("c1", seconds=1))):
        for seconds in (-1, 0, 1):
            with pytest.raises(StaleEntry):
                apply_entry(budget, reserve("c1", 60_00, seconds=seconds))
        assert sums(budget) == (0, 0, 0, 0)


def test_a_new_reservation_after_a_void_is_applied() -> None:
    budget = made(HUNDRED, reserve("c1", 60_00), void("c1", seconds=1), reserve("c1", 60_00, seconds=2))
    assert sums(budget) == (60_00, 0, 0, 1)
    with pytest.raises(StaleEntry):
        apply_entry(budget, void("c1", seconds=1))
    with pytest.raises(BudgetExhausted):
        made(replace(HUNDRED, limit_fen=50_00), void("c1"), reserve("c1", 60_00, seconds=1))


# ── pruning of entries that claims have recorded ──


def test_pruning_drops_recorded_entries_and_keeps_the_sums() -> None:
    budget = made(HUNDRED, reserve("c1", 60_00, seconds=1), reserve("c2", 10_00, seconds=2), entry("c2/1", "pay", 1))
    dropped = prune_entries(budget, {"c1/0", "c2/0"})
    assert [one.id for one in dropped.entries] == ["c2/1"]
    assert sums(dropped) == sums(budget)
    assert dropped.closed_until == NOON + timedelta(seconds=2)
    assert prune_entries(dropped, {"c1/0", "c9/0"}) is dropped


def test_a_pruned_entry_and_all_that_were_decided_before_it_are_refused() -> None:
    budget = prune_entries(made(HUNDRED, reserve("c1", 60_00, seconds=2)), {"c1/0"})
    for late in (reserve("c1", 60_00, seconds=2), reserve("c2", 1, seconds=1), reserve("c3", 1, seconds=2)):
        with pytest.raises(StaleEntry) as stale:
            apply_entry(budget, late)
        assert stale.value.closed_until == NOON + timedelta(seconds=2)
    assert apply_entry(budget, reserve("c2", 1, seconds=2.001)).reserved_fen == 60_01


def test_a_remaining_entry_is_recognised_even_if_it_is_older_than_a_pruned_one() -> None:
    budget = made(HUNDRED, reserve("c1", 60_00, seconds=1), reserve("c2", 1, seconds=2))
    dropped = prune_entries(budget, {"c2/0"})
    assert apply_entry(dropped, reserve("c1", 60_00, seconds=1)) is dropped


def test_pruning_never_moves_the_closing_time_back() -> None:
    budget = prune_entries(made(HUNDRED, reserve("c1", 1, seconds=9)), {"c1/0"})
    older = replace(budget, entries=(reserve("c2", 1, seconds=3),))
    assert prune_entries(older, {"c2/0"}).closed_until == NOON + timedelta(seconds=9)


def test_few_entries_are_kept_and_of_many_the_older_ones_may_be_pruned() -> None:
    many = made(HUNDRED, *(reserve(f"c{number}", 1, seconds=number / 100) for number in range(MAX_ENTRIES)))
    an_hour_later = NOON + timedelta(hours=1)
    assert prunable_entries(many, an_hour_later) == []
    full = apply_entry(many, reserve("one-more", 1, seconds=3))
    assert prunable_entries(full, an_hour_later) == list(full.entries)
    assert prunable_entries(full, NOON + timedelta(seconds=1) + MIN_RETENTION) == list(full.entries[:100])


# ── any order ──

History = list[Entry]


def paid_in_parts(claim: str, fen: int, instalment: int) -> History:
    return [reserve(claim, fen), entry(f"{claim}/1", "pay", instalment), entry(f"{claim}/2", "pay", fen - instalment)]


def failed(claim: str, fen: int, _part: int) -> History:
    return [reserve(claim, fen), entry(f"{claim}/1", "release", fen, -1)]


def stopped_and_clawed_back(claim: str, fen: int, instalment: int) -> History:
    paid, rest = entry(f"{claim}/1", "pay", instalment), entry(f"{claim}/2", "release", fen - instalment)
    return [reserve(claim, fen), paid, rest, entry(f"{claim}/3", "return", instalment)]


def reserved_by_an_interrupted_process_and_voided(claim: str, fen: int, _part: int) -> History:
    return [reserve(claim, fen), void(claim)]


def voided_before_a_slow_process_reserves(claim: str, _fen: int, _part: int) -> History:
    return [void(claim)]


HISTORIES = (
    paid_in_parts,
    failed,
    stopped_and_clawed_back,
    reserved_by_an_interrupted_process_and_voided,
    voided_before_a_slow_process_reserves,
)


class Claims:
    """A simple model of several claims that move money in a budget, one step after the other."""

    def __init__(self, histories: list[History], limit_fen: int, quota: int) -> None:
        self.histories = histories
        self.budget = Budget(id="rent:2026", limit_fen=limit_fen, quota=quota)
        self.seconds = 0
        self.decided: list[Entry | None] = [None] * len(histories)
        self.made: list[History] = [[] for _ in histories]
        self.recorded: set[str] = set()

    def advance(self, who: int) -> None:
        """Let a claim decide on its next entry, or apply the one that it has decided on."""
        self.seconds += 1
        now, made = NOON + timedelta(seconds=self.seconds), self.made[who]
        one = self.decided[who]
        if one is None:
            if made and (made[-1].kind == "void" or self.histories[who][-1].kind != "void"):
                self.recorded.add(made[-1].id)
            if len(made) < len(self.histories[who]):
                self.decided[who] = replace(self.histories[who][len(made)], decided_at=now)
            return
        try:
            self.budget = apply_entry(self.budget, one)
        except StaleEntry:
            assert self.budget.closed_until is not None
            assert one.decided_at <= self.budget.closed_until
            self.decided[who] = replace(one, decided_at=now)
        except BudgetExhausted:
            reserved, paid, returned, places = self.expected_sums()
            free_fen = self.budget.limit_fen - reserved - paid + returned
            assert one.amount_fen > free_fen or places == self.budget.quota
            self.decided[who] = None
        else:
            self.decided[who] = None
            made.append(one)

    def apply_again(self, who: int, place: int) -> None:
        """Let a slow process apply an entry that was applied or voided long ago."""
        late = list(self.made[who])
        if not late:
            return
        if late[0].kind == "void":
            late.append(reserve(late[0].claim, 1))
        before = self.budget
        try:
            self.budget = apply_entry(before, late[place % len(late)])
        except StaleEntry:
            assert self.budget is before
        assert self.budget is before

    def prune(self) -> None:
        """Prune the entries that claims have recorded."""
        self.budget = prune_entries(self.budget, self.recorded)

    def expected_sums(self) -> tuple[int, int, int, int]:
        """Return the sums over all applied entries, each once."""
        made = [one for history in self.made if not any(one.kind == "void" for one in history) for one in history]
        fen = {kind: sum(one.amount_fen for one in made if one.kind == kind) for kind in ("reserve", "pay", "release")}
        returned = sum(one.amount_fen for one in made if one.kind == "return")
        return (
            fen["reserve"] - fen["pay"] - fen["release"],
            fen["pay"],
            returned,
            sum(one.quota_delta for one in made),
        )


@settings(max_examples=300, deadline=None)
@given(
    histories=st.lists(st.tuples(st.sampled_from(HISTORIES), st.integers(2, 60_00)), min_size=1, max_size=5),
    limit_fen=st.integers(0, 200_00),
    quota=st.integers(1, 5),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("advance"), st.integers(0, 4)),
            st.tuples(st.just("advance"), st.integers(0, 4)),
            st.tuples(st.just("apply_again"), st.integers(0, 4), st.integers(0, 3)),
            st.tuples(st.just("prune")),
        ),
        max_size=80,
    ),
)
def test_each_entry_is_applied_once_in_any_order_and_however_often_it_is_sent(
    histories: list[tuple[object, int]], limit_fen: int, quota: int, steps: list[tuple[object, ...]]
) -> None:
    claims = Claims(
        [history(f"c{place}", fen, fen // 3) for place, (history, fen) in enumerate(histories)], limit_fen, quota
    )
    for step, *who in steps:
        place = [who[0] % len(histories), *who[1:]] if who else []
        getattr(claims, step)(*place)
        reserved, paid, returned, places = claims.expected_sums()
        assert sums(claims.budget) == (reserved, paid, returned, places)
        assert reserved + paid - returned <= limit_fen
        assert places <= quota
