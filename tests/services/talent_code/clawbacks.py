"""What citizens and officers do about a clawback: appeal, decide and repay."""

from typing import Any

import httpx

from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.ports import PropertyRegister
from tests.services.health_code.scene import SignedInPerson
from tests.services.talent_code.scene import Citizen, Scene

YUAN = 100
REASON = {"zh": "房屋已于申领前出售", "en": "The home was sold before the claim"}


def stored_claim(scene: Scene, claim: dict[str, Any]) -> Claim:
    document = scene.call(scene.city.store.get, Claim, claim["id"])
    assert document is not None
    return document


def sent_notices(scene: Scene, claim: dict[str, Any]) -> list[str]:
    return [notice.kind for notice in stored_claim(scene, claim).notifications if notice.sent]


def clawed_back(scene: Scene, person: Citizen) -> dict[str, Any]:
    """Pay a person the first half of 200,000 yuan for a home, then let an audit find that they own one already."""
    claim = scene.claimed(person, "home_purchase")
    scene.port(PropertyRegister).set_homes(person.id_number, 1)
    scene.time_passes(days=30)
    shown = scene.claim(person, claim)
    assert shown["clawback"]["owed_fen"] == 100_000 * YUAN
    return shown


def appeals(scene: Scene, person: Citizen, claim: dict[str, Any], text: str = "I sold it") -> httpx.Response:
    return scene.client.post(f"/v1/me/claims/{claim['id']}/appeal", json={"text": text}, headers=person)


def repays(scene: Scene, person: Citizen, claim: dict[str, Any], yuan: int, key: str = "tap") -> httpx.Response:
    headers = {**person, "Idempotency-Key": key}
    at = f"/v1/me/claims/{claim['id']}/repayments"
    return scene.client.post(at, json={"amount_fen": yuan * YUAN}, headers=headers)


def decides(scene: Scene, officer: SignedInPerson, claim: dict[str, Any], decision: str) -> httpx.Response:
    body = {"decision": decision, "reason": REASON}
    return scene.client.put(f"/v1/talent-appeals/{claim['id']}", json=body, headers=officer)
