"""Short forms of what authors and approvers of rules do in the tests."""

from pathlib import Path
from typing import Any

import httpx
from litestar import Litestar
from litestar.testing import TestClient

from backend.city.releases import digest_in_force
from backend.city.service import City
from backend.rulebook import read_rules
from tests.conftest import ROOT
from tests.servers import wait_until

Client = TestClient[Litestar]
Headers = dict[str, str]
AUTHOR, APPROVER, AUDITOR = "13800000021", "13800000022", "13800000023"
COLOUR = "health_code/colour.yaml"
DEFAULT_REASON = "Nothing found"
FOLDER = ROOT / "rules"
RULES = {Path(file.path).relative_to(FOLDER).as_posix(): file.text for file in read_rules(FOLDER).values()}
DONE_WITHOUT = "暂不需要"


def edition(reason: str) -> dict[str, str]:
    """Return the city's rules, in which a green code has another reason."""
    assert DEFAULT_REASON in RULES[COLOUR]
    return RULES | {COLOUR: RULES[COLOUR].replace(DEFAULT_REASON, reason)}


def submit(client: Client, author: Headers, files: dict[str, str], note: str = "新规定") -> httpx.Response:
    return client.post("/v1/rulebook-releases", json={"files": files, "note": note}, headers=author)


def submitted(client: Client, author: Headers, reason: str) -> str:
    """Submit an edition, and return its digest."""
    return submit(client, author, edition(reason)).json()["digest"]


def review(client: Client, reader: Headers, digest: str) -> dict[str, Any]:
    """Return the review of a release once it is made."""

    def read() -> dict[str, Any]:
        answer = client.get(f"/v1/rulebook-releases/{digest}/review", headers=reader)
        assert answer.status_code == 200, answer.text
        return answer.json()

    wait_until(lambda: read()["made"])
    return read()


def without(found: dict[str, Any]) -> dict[str, str]:
    """Return a reason for each part of a review that could not be made."""
    return {part["name"]: DONE_WITHOUT for part in found["parts"] if part["failure"]}


def approve(client: Client, approver: Headers, digest: str, **body: Any) -> httpx.Response:  # noqa: ANN401  any JSON
    """Approve a release as someone who read its review."""
    address = f"/v1/rulebook-releases/{digest}"
    if client.get(f"{address}/review", headers=approver).status_code == 200:
        found = review(client, approver, digest)
        body = {"review": found["digest"], "acknowledged": without(found)} | body
    return client.post(f"{address}/approvals", json={"review": "0" * 64} | body, headers=approver)


def activate(client: Client, approver: Headers, digest: str, at: str | None = None) -> httpx.Response:
    return client.post(f"/v1/rulebook-releases/{digest}/activations", json={"at": at}, headers=approver)


def approve_and_activate(client: Client, approver: Headers, digest: str) -> httpx.Response:
    """Approve a release and activate it; return the refusal if it is not approved."""
    approved = approve(client, approver, digest)
    return activate(client, approver, digest) if approved.status_code == 200 else approved


def refused(answer: httpx.Response, status: int, name: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{name}"), answer.text


def city_of(client: Client) -> City:
    return client.app.state.city


def in_force(client: Client) -> str | None:
    city = city_of(client)
    return client.blocking_portal.call(digest_in_force, city.store, city.now())
