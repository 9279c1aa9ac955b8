"""Attack: whatever a person requests for themselves, their code is never milder than the official reports allow.

The requests go through the API: declarations, check-ins, other details of their identity, other phones, closing and
opening accounts, and routes that are not theirs. By the rules only check-ins from isolation make a code milder.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from litestar.testing import TestClient

from backend.app import create_app
from backend.jobs.tasks import discover_tasks
from backend.rulebook.language.temporal import midnight
from backend.services.health_code.code import COLOURS
from backend.services.health_code.model import COLOUR
from backend.services.health_code.reports import CheckedIn, Event, Report, derive_facts
from backend.settings import Settings
from tests.conftest import ROOT, Clock, SignIn
from tests.draws import draws
from tests.keys import new_keys
from tests.services.health_code.scene import Headers, Scene, SignedInPerson, id_number

NOON = datetime(2022, 5, 3, 4, 0, tzinfo=UTC)
"""On this day a missed mass test turns a code yellow, unless the person is a small child."""

ZONE = ZoneInfo("Asia/Shanghai")


class Attacker:
    """A person with an identity document, who signs in with as many phones as they like."""

    def __init__(self, scene: Scene, sign_in: SignIn, serial: int, document: dict[str, str]) -> None:
        self.scene, self.sign_in, self.document = scene, sign_in, document
        self.phones = (str(13_920_000_000 + serial * 50 + number) for number in itertools.count())
        self.headers: list[Headers] = []
        self.reports: list[Report] = []
        self.serial = itertools.count()
        self.takes_another_phone({})

    def post(self, path: str, body: object, **headers: str) -> list[httpx.Response]:
        """Send a request with each of the person's sessions."""
        client = self.scene.client
        return [client.post(path, json=body, headers={**one, **headers}) for one in self.headers]

    def takes_another_phone(self, details: dict[str, str]) -> None:
        headers = self.sign_in(next(self.phones))
        body = {"name": "王芳", **self.document, **details}
        answer = self.scene.client.put("/v1/me/real-name", json=body, headers=headers)
        if answer.status_code == 200:
            token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            self.headers.append(SignedInPerson(self.scene.client.app, token))

    def tells_other_details(self, details: dict[str, str]) -> None:
        body = {"name": "王芳", **self.document, **details}
        for headers in self.headers:
            self.scene.client.put("/v1/me/real-name", json=body, headers=headers)

    def declares(self, days_ago: int, number: int, symptoms: Sequence[str]) -> None:
        at = [self.scene.ago(days=days_ago, minutes=minutes) for minutes in range(min(number, 20))]
        body = {
            "symptoms": symptoms,
            "contacts": [{"level": "nearby", "at": one} for one in at],
            "stays": [{"risk": "low", "entered_at": one, "left_at": one} for one in at],
            "entries": [{"country": "IT", "entered_at": one} for one in at],
        }
        for _ in range(1 + number // 20):
            self.post("/v1/me/health-declarations", body)

    def closes_an_account_and_returns(self, _details: object) -> None:
        if self.headers:
            self.scene.client.post("/v1/me/closure", headers=self.headers.pop())
        for task in ("audit.sweep_acts", "account.sweep_closures"):
            sweep: Callable[..., Any] = discover_tasks()[task]
            self.scene.client.blocking_portal.call(sweep, self.scene.client.app.state.city)
        self.takes_another_phone({})

    def checks_in(self, _details: object) -> None:
        now = self.scene.clock.now
        for answer in self.post("/v1/me/isolation-check-ins", {}):
            if answer.status_code == 201:
                self.reports.append(Report(CheckedIn(now, midnight(now.astimezone(ZONE).date(), ZONE))))

    def tries_routes_of_officers(self, _details: object) -> None:
        events = [self.scene.event("withdrawal", of=f"{report.key}") for report in self.reports if report.key]
        for answer in self.post("/v1/health-events", {"events": events or [{}]}):
            assert answer.status_code == 403
        for answer in self.post("/v1/health-event-proposals/approvals", {"ids": ["x"]}):
            assert answer.status_code == 403

    def is_reported(self, event: dict[str, Any]) -> None:
        """Let an authority report an event about the person."""
        key = f"{id(self)}-{next(self.serial)}"
        sent = self.scene.event(**event, event_id=key) | {
            name: value for name, value in self.document.items() if name in ("id_number", "document_kind")
        }
        assert self.scene.outcomes(sent) == ["applied"]
        content = msgspec.convert(sent["event"], Event)
        self.reports.append(Report(content, key))

    def check(self) -> None:
        """Check that no session shows a milder colour than the official reports and the check-ins allow."""
        city = self.scene.client.app.state.city
        born_on = None if "document_kind" in self.document else datetime(1990, 3, 7, tzinfo=ZONE)
        mildest = city.rulebook.evaluate(COLOUR, derive_facts(born_on, self.reports), city.now()).result
        for headers in self.headers:
            answer = self.scene.client.get("/v1/me/health-code", headers=headers)
            if answer.status_code == 200:
                assert COLOURS.index(answer.json()["colour"]) >= COLOURS.index(mildest), self.reports


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
    details.map(lambda drawn: ("takes_another_phone", (drawn,))),
    details.map(lambda drawn: ("tells_other_details", (drawn,))),
    some.sampled_from(["checks_in", "closes_an_account_and_returns", "tries_routes_of_officers"]).map(
        lambda name: (name, ({},))
    ),
    some.integers(1, 30).map(lambda hours: ("waits", (hours,))),
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
        person_requests_per_minute=100_000,
        address_requests_per_minute=100_000,
    )
    serials = itertools.count(1)
    with TestClient(create_app(city, clock=clock)) as client:
        sign_in = SignIn(client)
        officer = sign_in("13800138002", name="陈静", id_number=id_number(902), roles=("health_officer",))
        scene = Scene(client, clock, SignedInPerson(client.app, officer))

        def attacker(*, has_passport: bool) -> Attacker:
            clock.now = NOON
            serial = next(serials)
            card = {"id_number": id_number(serial % 900, 1990 - serial // 900)}
            passport = {"id_number": f"EA{serial:07}", "document_kind": "passport"}
            return Attacker(scene, sign_in, serial, passport if has_passport else card)

        yield attacker


@given(some.booleans(), some.lists(requests, min_size=2, max_size=9))
@settings(max_examples=draws(40, 1_000), suppress_health_check=[HealthCheck.too_slow])
def test_no_sequence_of_own_requests_makes_a_code_milder_than_official_reports_and_check_ins_allow(
    attackers: Callable[..., Attacker], has_passport: bool, sequence: Sequence[tuple[str, tuple[Any, ...]]]
) -> None:
    attacker = attackers(has_passport=has_passport)
    for name, arguments in sequence:
        if name == "waits":
            attacker.scene.clock.now += timedelta(hours=arguments[0])
        else:
            getattr(attacker, name)(*arguments)
        attacker.check()


def test_a_birth_date_that_only_the_person_has_told_exempts_nobody_from_a_mass_test(
    attackers: Callable[..., Attacker],
) -> None:
    attacker = attackers(has_passport=True)
    attacker.tells_other_details({"born_on": "2021-05-01"})
    attacker.is_reported({"kind": "missed_mass_test", "at": ago(20)})
    code = attacker.scene.code(attacker.headers[0])
    assert (code["colour"], code["rule"]) == ("yellow", "missed-mass-test")
