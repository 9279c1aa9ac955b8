"""Attack: whatever a person requests for themselves, their code is never milder than the official reports allow.

The requests go through the API: declarations, check-ins, other details of their identity, proofs in person on other
phones, phones that change and change back, accounts that are recovered, left, closed and opened again, and routes that
are not theirs. By the rules only check-ins from isolation make a code milder.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from litestar.testing import TestClient

from backend.app import create_app
from backend.security.rate_limits import Budget
from backend.settings import Settings
from tests.conftest import ROOT, Clock, SignIn
from tests.draws import draws
from tests.keys import new_keys
from tests.security.own_requests import Attacker
from tests.services.health_code.scene import Scene, SignedInPerson, id_number

NOON = datetime(2022, 5, 3, 4, 0, tzinfo=UTC)
"""On this day a missed mass test turns a code yellow, unless the person is a small child."""

SILENT_FOR = 91 * 24
"""After so many hours a phone may have another owner."""

CHANGES_OF_ACCOUNTS = (
    "takes_another_phone",
    "signs_in_with_each_phone",
    "tells_other_details",
    "shows_their_face",
    "takes_the_number_over",
    "recovers_with_a_new_phone",
    "changes_the_phone",
    "undoes_a_change",
    "takes_a_fresh_account",
    "closes_all_accounts",
    "closes_an_account_and_returns",
)


def ago(hours: int) -> str:
    return (NOON - timedelta(hours=hours)).isoformat()


past = some.integers(1, 20 * 24).map(ago)
official = some.one_of(
    past.map(lambda at: {"kind": "contact", "level": "close", "at": at}),
    past.map(lambda at: {"kind": "case", "status": "confirmed", "since": at}),
    past.map(lambda at: {"kind": "case_ended", "at": at}),
    past.map(lambda at: {"kind": "missed_mass_test", "at": at}),
    past.map(lambda at: {"kind": "stay", "risk": "high", "entered_at": at}),
    past.map(lambda at: {"kind": "isolation", "place": "home", "began_at": at}),
    past.map(lambda at: {"kind": "isolation_ended", "at": at}),
    some.tuples(some.sampled_from(["positive", "negative"]), past).map(
        lambda drawn: {"kind": "test", "test": "pcr", "result": drawn[0], "sampled_at": drawn[1]}
    ),
)
details = some.sampled_from(
    [{}, {"born_on": "2021-05-01"}, {"born_on": "1990-03-07"}, {"sex": "male"}, {"name": "王 芳"}, {"name": "李强"}]
)
requests = some.one_of(
    official.map(lambda event: ("is_reported", (event,))),
    some.tuples(
        some.sampled_from([0, 1, 13, 300]), some.sampled_from([0, 3, 230]), some.sampled_from([[], ["fever"]])
    ).map(lambda drawn: ("declares", drawn)),
    some.sampled_from(["checks_in", "tries_routes_of_officers"]).map(lambda name: (name, ({},))),
    some.tuples(some.sampled_from(CHANGES_OF_ACCOUNTS), details.map(lambda drawn: (drawn,))),
    some.one_of(some.integers(1, 30), some.just(SILENT_FOR)).map(lambda hours: ("waits", (hours,))),
)


@pytest.fixture(scope="module")
def attackers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bool], Attacker]]:
    """One city for all examples; each example has a person of its own."""
    folder = tmp_path_factory.mktemp("city")
    clock = Clock(NOON)
    city = Settings(
        store=f"sqlite:///{folder}/city.db",
        keys=new_keys(folder / "keys"),
        sandbox=str(folder / "sandbox.db"),
        rules=str(ROOT / "rules"),
        development=True,
        access_log=False,
        refresh_token_days=36_500,  # the sessions of officers outlast what people wait
        person_requests_per_minute=100_000,
        address_requests_per_minute=100_000,
    )
    serials = itertools.count(1)
    with pytest.MonkeyPatch.context() as patch, TestClient(create_app(city, clock=clock)) as client:
        for module in ("sign_in", "phone"):  # all examples come from one address, within one hour
            patch.setattr(f"backend.services.account.api.{module}.ATTEMPTS", Budget("sign-in-origin", 1_000_000, 3_600))
        officer = SignIn(client)("13800138002", name="陈静", id_number=id_number(902), roles=("health_officer",))
        scene = Scene(client, clock, SignedInPerson(client.app, officer))

        def attacker(*, has_passport: bool) -> Attacker:
            clock.now = NOON
            serial = next(serials)
            card = {"id_number": id_number(serial % 900, 1990 - serial // 900)}
            passport = {"id_number": f"EA{serial:07}", "document_kind": "passport"}
            return Attacker(scene, serial, passport if has_passport else card)

        yield attacker


@given(some.booleans(), some.lists(requests, min_size=2, max_size=9))
@settings(max_examples=draws(40, 1_000), suppress_health_check=[HealthCheck.too_slow])
def test_no_sequence_of_own_requests_makes_a_code_milder_than_official_reports_and_check_ins_allow(
    attackers: Callable[..., Attacker], has_passport: bool, sequence: Sequence[tuple[str, tuple[Any, ...]]]
) -> None:
    attacker = attackers(has_passport=has_passport)
    for name, arguments in sequence:
        getattr(attacker, name)(*arguments)
        attacker.check()


@pytest.mark.parametrize(
    "ways",
    [
        ("shows_their_face", "changes_the_phone", "undoes_a_change", "shows_their_face"),
        ("changes_the_phone", "undoes_a_change", "tells_other_details"),
        ("changes_the_phone", "undoes_a_change", "takes_a_fresh_account"),
        ("takes_the_number_over",),
        ("shows_their_face", "recovers_with_a_new_phone"),
        ("closes_an_account_and_returns",),
        ("shows_their_face", "closes_all_accounts", "takes_the_number_over"),
    ],
)
def test_a_red_person_is_red_on_whichever_way_they_come_back(
    attackers: Callable[..., Attacker], ways: Sequence[str]
) -> None:
    attacker = attackers(has_passport=False)
    attacker.is_reported({"kind": "contact", "level": "close", "at": ago(1)})
    for way in ways:
        getattr(attacker, way)({})
        attacker.check()
    assert set(attacker.colours()) == {"red"}, "a session shows the code again"


def test_a_birth_date_that_only_the_person_has_told_exempts_nobody_from_a_mass_test(
    attackers: Callable[..., Attacker],
) -> None:
    attacker = attackers(has_passport=True)
    attacker.tells_other_details({"born_on": "2021-05-01"})
    attacker.is_reported({"kind": "missed_mass_test", "at": ago(20)})
    [token] = attacker.renewed()
    code = attacker.request(token, "GET", "/v1/me/health-code").json()
    assert (code["colour"], code["rule"]) == ("yellow", "missed-mass-test")
