"""Invariants of all claims under repeated, late, lost and interrupted calls and facts that turn out false."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from backend.services.talent_code.claims import claim_benefit
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.talent import Talent, request_recheck
from backend.services.talent_code.review import update_talent
from backend.services.talent_code.saga import claims, reviews
from integrations._sandbox.database import CallOutcome
from tests.benefits.machine import KILL, ClaimMachine, drop_entries_at_once, run_machine
from tests.services.talent_code.sample_rules import TERMS
from tests.services.talent_code.world import BUDGETS_FEN, DOCTOR, LEADER, Person, TalentWorld

pytestmark = pytest.mark.slow

WHO = st.integers(0, 3)
BENEFIT = st.sampled_from(sorted(TERMS))


class TalentClaimMachine(ClaimMachine):
    """People claim, budgets change, facts turn out false, calls to bank and registries fail, processes are killed."""

    world: ClassVar[TalentWorld]
    saga = claims
    budgets = len(BUDGETS_FEN)

    def make_subjects(self) -> Sequence[Person]:
        people = ((LEADER, DOCTOR), (DOCTOR,), (DOCTOR,), (LEADER,))
        return [self.world.person(*qualifications) for qualifications in people]

    def review_subjects(self) -> None:
        for person in self.subjects:
            self.attempt(lambda one=person: reviews.resume(self.city, one.id))

    def _claim(self, who: int, benefit: str, tap: int, stated: dict[str, Any]) -> Any:  # noqa: ANN401  an awaitable
        return claim_benefit(self.city, self.subjects[who].id, benefit, f"{tap}", stated)

    # ── rules ──

    @rule(who=WHO, benefit=BENEFIT, homes=st.sampled_from([None, 0, 0, 1]), spent=st.integers(0, 90_00), kill=KILL)
    def claims(self, who: int, benefit: str, homes: int | None, spent: int, kill: int | None = None) -> None:
        self.schedule_kill(kill)
        stated = {"homes": homes} if homes is not None else {}
        if benefit == "spent":
            stated["spent_fen"] = spent
        self.taps += 1
        self.attempt(lambda: self._claim(who, benefit, self.taps, stated))

    @rule(who=WHO, benefit=BENEFIT)
    def claims_the_same_on_two_phones_at_once(self, who: int, benefit: str) -> None:
        self.taps += 2
        stated = {"spent_fen": 30_00} if benefit == "spent" else {}
        taps = [self.taps - place % 2 for place in range(4)]
        self.attempt_at_once(*(lambda one=tap: self._claim(who, benefit, one, stated) for tap in taps))

    @rule(benefit=BENEFIT, kill=KILL)
    def all_claim_at_once(self, benefit: str, kill: int | None) -> None:
        self.schedule_kill(kill)
        self.taps += 1
        stated = {"spent_fen": 55_55} if benefit == "spent" else {}
        everybody = range(len(self.subjects))
        self.attempt_at_once(*(lambda one=who: self._claim(one, benefit, self.taps, stated) for who in everybody))

    @rule(who=WHO, months=st.sampled_from([3, 6, 12]))
    def months_are_insured(self, who: int, months: int) -> None:
        self.world.insurance.set_months(self._number(who), months)

    def _number(self, who: int) -> str:
        person = self.subjects[who]
        assert isinstance(person, Person)
        return person.number

    @rule(who=WHO, homes=st.integers(0, 1))
    def a_home_is_found(self, who: int, homes: int) -> None:
        self.world.property.set_homes(self._number(who), homes)

    @rule(who=WHO, benefit=BENEFIT)
    def claims_with_a_false_statement_that_is_audited(self, who: int, benefit: str) -> None:
        self.world.property.set_homes(self._number(who), 1)
        self.claims(who, benefit, 0, 30_00)
        self.time_passes(24 * 4)

    @rule(who=WHO, fen=st.integers(0, 60_00))
    def invoices_are_found(self, who: int, fen: int) -> None:
        self.world.tax.set_invoiced(self._number(who), "spent", fen)

    @rule(who=WHO, all_of_it=st.booleans())
    def evidence_turns_out_false(self, who: int, all_of_it: bool) -> None:
        person = self.subjects[who]
        self.world.employment.set_merits(self._number(who))
        if all_of_it:
            self.world.education.set_degrees(self._number(who))

        async def recheck() -> None:
            await update_talent(self.city, person.id, request_recheck)
            await reviews.resume(self.city, person.id)

        self.attempt(recheck)

    @rule(
        call=st.sampled_from(["insured_months", "confirm_degree", "confirm_merit", "homes", "invoiced_fen"]),
        outcome=st.sampled_from(["lost_before", "refused", "pending", "wrong"]),
    )
    def a_registry_call_will_fail(self, call: str, outcome: CallOutcome) -> None:
        self.world.bank.database.script_outcomes(call, outcome)
        self.world.counts[f"{call} {outcome}"] += 1

    # ── invariants once all steps are finished ──

    def check_service(self, claims: list[Claim]) -> None:
        """The loss of a class cancels open instalments exactly if the benefit's terms say so."""
        ids = [person.id for person in self.subjects]
        talents = self.world.run(lambda: self.world.real.store.get_many(Talent, ids))
        for claim in claims:
            lost = talents[claim.subject].lost_class_since(claim.claimed_at)
            stopped = sum(instalment.state == "cancelled" for instalment in claim.instalments)
            if lost and claim.after_withdrawal == "stop":
                assert claim.sum_fen("open") == 0
                assert claim.state != "waiting"
            untouched = claim.audit is None and not any(instalment.attempts for instalment in claim.instalments)
            if claim.state == "granted" and claim.after_withdrawal == "go_on" and untouched:
                assert stopped == 0, "only the terms of a benefit cancel open instalments"


@pytest.fixture
def world(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TalentWorld]:
    drop_entries_at_once(monkeypatch)
    TalentClaimMachine.world = world = TalentWorld(tmp_path, address, "pymongo")
    yield world
    world.close()


def test_whatever_happens_every_fen_is_accounted_for(world: TalentWorld, address: str) -> None:
    run_machine(TalentClaimMachine, world, address)
