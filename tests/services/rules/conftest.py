"""An author and an approver of rules."""

import pytest

from tests.conftest import SignIn
from tests.services.rules.publishing import APPROVER, AUTHOR, Headers


@pytest.fixture(autouse=True)
def short_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the proofs of reviews next to no time: what is not proved is unknown."""
    monkeypatch.setattr("backend.services.rules.review_parts.PROOF_SECONDS", 0.01)


@pytest.fixture
def author(sign_in: SignIn) -> Headers:
    return sign_in(AUTHOR, roles=["author"]) | {"accept-language": "en"}


@pytest.fixture
def approver(sign_in: SignIn) -> Headers:
    return sign_in(APPROVER, roles=["approver"]) | {"accept-language": "en"}
