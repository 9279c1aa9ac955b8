"""Which accounts report for which source: two operators say so, and one of them ends it at once."""

from collections.abc import Callable

import httpx
import pytest

from backend.services.health_code.sources import CHANGE_LIFETIME, ReportingSource
from tests.services.health_code.scene import (
    Client,
    Clock,
    Headers,
    Scene,
    account_of,
    id_number,
    problem,
    stored,
    without_identity,
)

YESTERDAY = "2022-04-19T08:00:00+08:00"


@pytest.fixture
def operators(sign_in: Callable[..., Headers]) -> tuple[Headers, Headers]:
    first = sign_in("13800138011", name="周琳", id_number=id_number(911), roles=("operator",))
    return first, sign_in("13800138012", name="吴刚", id_number=id_number(912), roles=("operator",))


@pytest.fixture
def laboratory(sign_in: Callable[..., Headers]) -> Headers:
    return sign_in("13800138013", name="郑洁", id_number=id_number(913), roles=("health_officer",))


def propose(client: Client, operator: Headers, *accounts: str, **terms: int) -> str:
    """Propose who reports for a laboratory; return the id of the change."""
    body = {"name": "lab-a", "kind": "laboratory", "accounts": list(accounts), **terms}
    answer = client.post("/v1/reporting-sources", headers=operator, json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()["proposed"]["change"]


def approve(client: Client, operator: Headers, change: str) -> httpx.Response:
    body = {"name": "lab-a", "change": change}
    return client.post("/v1/reporting-sources/approvals", headers=operator, json=body)


def test_an_account_reports_for_a_source_once_two_operators_agree(
    client: Client, scene: Scene, operators: tuple[Headers, Headers], laboratory: Headers
) -> None:
    first, second = operators
    sample = scene.event("test", test="pcr", result="positive", sampled_at=YESTERDAY, sample_id="1")
    body = {"events": [sample | {"source": "lab-a"}]}

    def outcome() -> str:
        [result] = client.post("/v1/health-events", headers=laboratory, json=body).json()["results"]
        return result["outcome"]

    change = propose(client, first, account_of(laboratory))
    assert outcome() == "refused"
    problem(approve(client, first, change), 409, "second-person-required")
    problem(approve(client, second, "another"), 404, "not-found")
    source = approve(client, second, change).json()
    assert (source["kind"], source["accounts"], source["proposed"]) == ("laboratory", [account_of(laboratory)], None)
    assert outcome() == "applied"
    removal = {"name": "lab-a", "account": account_of(laboratory)}
    assert client.post("/v1/reporting-sources/removals", headers=first, json=removal).json()["accounts"] == []
    assert outcome() == "refused"


def test_an_operator_assigns_no_source_to_their_own_account_alone(
    client: Client, operators: tuple[Headers, Headers]
) -> None:
    first, second = operators
    change = propose(client, first, account_of(second))
    problem(approve(client, second, change), 409, "second-person-required")


def test_a_change_is_approved_as_it_was_seen_and_within_its_time(
    client: Client, operators: tuple[Headers, Headers], laboratory: Headers, clock: Clock
) -> None:
    first, second = operators
    seen = propose(client, first, account_of(laboratory))
    replaced = propose(client, first, account_of(laboratory), events_per_day=10_000_000)
    problem(approve(client, second, seen), 404, "not-found")
    clock.now += CHANGE_LIFETIME
    problem(approve(client, second, replaced), 404, "not-found")


def test_a_removed_account_does_not_return_with_a_change_that_was_proposed_before(
    client: Client, operators: tuple[Headers, Headers], laboratory: Headers
) -> None:
    first, second = operators
    account = account_of(laboratory)
    approve(client, second, propose(client, first, account))
    change = propose(client, first, account, events_per_day=9)
    client.post("/v1/reporting-sources/removals", headers=second, json={"name": "lab-a", "account": account})
    problem(approve(client, second, change), 404, "not-found")


def test_sources_are_listed_for_operators_and_every_act_is_recorded(
    client: Client, scene: Scene, operators: tuple[Headers, Headers], laboratory: Headers
) -> None:
    first, second = operators
    approve(client, second, propose(client, first, account_of(laboratory), events_per_day=7, decisive_per_day=3))
    listed = client.get("/v1/reporting-sources", headers=first).json()
    [shown] = [source for source in listed["sources"] if source["name"] == "lab-a"]
    assert (shown["events_per_day"], shown["decisive_per_day"], listed["cursor"]) == (7, 3, None)
    assert client.get("/v1/reporting-sources", headers=scene.officer).status_code == 403
    [source] = [source for source in stored(client, ReportingSource) if source.name == "lab-a"]
    assert [(act.action, act.account) for act in source.acts] == [
        ("health_code.source_proposed", account_of(first)),
        ("health_code.source_approved", account_of(second)),
    ]


def test_an_unknown_source_is_neither_approved_nor_reduced(client: Client, operators: tuple[Headers, Headers]) -> None:
    problem(approve(client, operators[0], "x"), 404, "not-found")
    removal = {"name": "lab-a", "account": "x"}
    problem(client.post("/v1/reporting-sources/removals", headers=operators[0], json=removal), 404, "not-found")


def test_an_operator_who_is_not_real_named_decides_nothing(client: Client, sign_in: Callable[..., Headers]) -> None:
    nameless = without_identity(client, sign_in("13800138014", roles=("operator",)))
    body = {"name": "lab-a", "kind": "office", "accounts": []}
    problem(client.post("/v1/reporting-sources", headers=nameless, json=body), 403, "not-allowed")
    problem(approve(client, nameless, "x"), 403, "not-allowed")
