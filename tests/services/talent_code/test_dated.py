"""The law of the day: the same claim before and after a change gives the old and the new amount, for ever."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.services.talent_code.facts import Degree, Title
from backend.services.talent_code.model.benefit import judge
from backend.services.talent_code.model.claim import Claim
from tests.services.health_code.scene import stored
from tests.services.talent_code.scene import Scene

DOCTORS_RAISED = datetime(2021, 10, 14, 16, tzinfo=UTC)
"""The midnight with which 15 October 2021 begins in the city."""

HOMES_RAISED = datetime(2022, 12, 31, 16, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DOCTOR = Degree("doctor", datetime(2021, 6, 29, 16, tzinfo=UTC))
LEADER = Title("municipal_leader", datetime(2018, 8, 31, 16, tzinfo=UTC))


@pytest.mark.parametrize(
    ("at", "yuan"), [(DOCTORS_RAISED - SECOND, 50_000), (DOCTORS_RAISED, 100_000)], ids=["the day before", "the day"]
)
def test_a_doctor_claims_by_the_law_of_the_day(scene: Scene, at: datetime, yuan: int) -> None:
    scene.clock.now = at
    claim = scene.claimed(scene.talent(DOCTOR), "graduate_allowance")
    assert claim["amount_fen"] == yuan * 100


@pytest.mark.parametrize(
    ("at", "yuan"), [(HOMES_RAISED - SECOND, 800_000), (HOMES_RAISED, 1_000_000)], ids=["the day before", "the day"]
)
def test_class_d_buys_a_home_by_the_law_of_the_day(scene: Scene, at: datetime, yuan: int) -> None:
    scene.clock.now = at
    claim = scene.claimed(scene.talent(LEADER), "home_purchase")
    assert (claim["amount_fen"], claim["paid_fen"]) == (yuan * 100, yuan * 100 // 2)


def test_class_e_has_nothing_for_a_home_until_the_day(scene: Scene) -> None:
    scene.clock.now = HOMES_RAISED - SECOND
    person = scene.talent(DOCTOR)
    assert scene.claims(person, "home_purchase").json()["type"] == "/problems/not-entitled"
    (missed,) = [one for one in scene.benefits(person)["just_missed"] if one["benefit"] == "home_purchase"]
    assert (missed["kind"], missed["from_at"]) == ("later", "2022-12-31T16:00:00Z")
    scene.clock.now = HOMES_RAISED
    assert scene.claimed(person, "home_purchase")["amount_fen"] == 200_000_00


def test_a_claim_judged_again_years_later_comes_out_the_same(scene: Scene) -> None:
    scene.clock.now = DOCTORS_RAISED - SECOND
    scene.claimed(scene.talent(DOCTOR), "graduate_allowance")
    scene.clock.now = datetime(2031, 1, 1, tzinfo=UTC)
    claim: Claim
    (claim,) = stored(scene.client, Claim)
    again = judge(scene.city.rulebook, claim.benefit, claim.facts, claim.claimed_at)
    assert again is not None
    assert (again.amount_fen, again.verdict.rule, again.verdict.result) == (claim.amount_fen, claim.rule, claim.figure)
    assert (again.amount_fen, again.verdict.rulebook) == (50_000_00, claim.rulebook)
    by_the_law_of_today = judge(scene.city.rulebook, claim.benefit, claim.facts, scene.clock.now)
    assert by_the_law_of_today is not None
    assert by_the_law_of_today.amount_fen == 0, "who graduated in 2021 is no new graduate any more"
