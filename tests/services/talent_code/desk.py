"""A partner's desk in the tests of the talent code: the places, and what their staff scan and redeem."""

from itertools import count
from typing import Any

import httpx

from backend.services.talent_code.model.redemption import Usage
from tests.services.health_code.scene import SignedInPerson, problem, stored
from tests.services.talent_code.scene import Citizen, Scene

PARK, LAKE, HOSPITAL, SCHOOL, METRO = (
    "park-xixi",
    "park-west-lake",
    "hospital-first",
    "school-xuejun",
    "transport-metro",
)
PLACES = (PARK, LAKE, HOSPITAL, SCHOOL, METRO, "housing-office", "fund-office", "museum-west-lake")


class Desk:
    """A member of staff who works at all these places and scans codes."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.client = scene, scene.client
        self.person: SignedInPerson = scene.partner(*PLACES)
        self._ids = count(1)

    def scans(self, payload: str, place: str = PARK) -> dict[str, Any]:
        body = {"payload": payload, "place": place}
        answer = self.client.post("/v1/talent-verifications", json=body, headers=self.person)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def redemption_body(
        self, payload: str, redemption: str | None = None, *, place: str = PARK, benefit: str = "park_entry"
    ) -> dict[str, Any]:
        """Return the request body of a redemption."""
        redemption = redemption or f"redemption-{next(self._ids)}"
        return {"payload": payload, "place": place, "benefit": benefit, "redemption_id": redemption}

    def redeems(self, payload: str, redemption: str | None = None, **other: str) -> httpx.Response:
        body = self.redemption_body(payload, redemption, **other)
        return self.client.post("/v1/talent-redemptions", json=body, headers=self.person)

    def redeem_new_code(self, person: Citizen, **other: str) -> int:
        """Redeem a new code, and return the number of uses that are left."""
        answer = self.redeems(self.payload(person), **other)
        assert answer.status_code == 200, answer.text
        return answer.json()["remaining"]

    def refusal(self, answer: httpx.Response) -> str:
        """Return the reason why a code was not accepted."""
        return problem(answer, 409, "code-not-accepted")["outcome"]

    def payload(self, person: Citizen) -> str:
        return self.scene.code(person)["payload"]


def uses(scene: Scene) -> int:
    """Return the number of recorded uses of all people."""
    return sum(len(usage.uses) for usage in stored(scene.client, Usage))
