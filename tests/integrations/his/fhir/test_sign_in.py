"""Hospitals sign in with SMART Backend Services."""

import base64

import pytest

from integrations.his.fhir.smart import ASSERTION_TYPE
from tests.services.medical_credit.scene import Scene


def segment(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


DEEP = "[" * 6_000


@pytest.mark.parametrize(
    ("header", "claims"),
    [(DEEP, "{}"), ('{"alg": "ES384", "x": ' + DEEP, "{}"), ('{"alg": "ES384"}', '{"iss": ' + DEEP)],
)
def test_a_deeply_nested_assertion_is_refused(scene: Scene, header: str, claims: str) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": f"{segment(header)}.{segment(claims)}.AA",
    }
    answer = scene.client.post("/fhir/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
