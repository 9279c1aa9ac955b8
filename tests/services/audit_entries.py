"""The audit log in the tests of the services: what was recorded, and that it holds nothing personal."""

import re
from typing import Any

from litestar import Litestar
from litestar.testing import TestClient

from backend.city.audit_chain import extend_chain
from backend.city.audit_log import AuditEntry, act_of, log_all_acts
from backend.city.audit_verification import VerifiedLog, verify_log
from backend.city.service import City

OPAQUE = re.compile(r"[A-Za-z0-9_.:/ -]*")
PERSONAL = re.compile(r"(?<!\w)(1[3-9]\d{9}|\d{17}[\dX])(?!\w)")


async def sweep(city: City) -> list[AuditEntry]:
    """Log and chain all acts, and return all entries, the oldest first."""
    await log_all_acts(city)
    await extend_chain(city)
    return sorted([entry async for entry in city.store.scan(AuditEntry)], key=lambda entry: entry.sort_key)


def logged(client: TestClient[Litestar]) -> list[AuditEntry]:
    """Return all entries, after checking that each holds only opaque ids, words and keyed hashes."""
    assert client.blocking_portal is not None
    entries = client.blocking_portal.call(sweep, client.app.state.city)
    for entry in entries:
        for value in act_of(entry).__struct_fields__:
            text = getattr(entry, value)
            if isinstance(text, str):
                assert OPAQUE.fullmatch(text), f"{entry.action}: {value} is {text!r}"
                assert not PERSONAL.search(text), f"{entry.action}: {value} is {text!r}"
    return entries


def verified(client: TestClient[Litestar]) -> VerifiedLog:
    """Verify the log, and return what was verified."""

    async def verify(city: City) -> VerifiedLog:
        return await verify_log(city.store, city.keys.jwks("audit"), [], city.now(), city.rulebook.time_zone)

    assert client.blocking_portal is not None
    return client.blocking_portal.call(verify, client.app.state.city)


def acts(client: TestClient[Litestar], person: Any) -> list[tuple[str, str]]:  # noqa: ANN401  any headers
    """Return the actions and roles that a person sees, the newest first."""
    answer = client.get("/v1/me/audit", headers=person)
    assert answer.status_code == 200, answer.text
    return [(entry["action"], entry["role"]) for entry in answer.json()["entries"]]
