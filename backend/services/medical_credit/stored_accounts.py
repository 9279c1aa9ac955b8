"""What is stored of everybody's standing, so that a preview can count a whole city."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from backend.paylater.credit_line import CreditLine
from backend.paylater.family import MAX_UNPAID
from backend.rulebook import Rulebook
from backend.services.medical_credit.eligibility import standing_of
from backend.services.medical_credit.facts import StandingFacts
from backend.services.medical_credit.model.enrolment import Enrolment
from backend.services.medical_credit.model.visit import Visit
from backend.services.medical_credit.rule_modules import LIMIT
from backend.store import Store


class StoredAccount(Struct, frozen=True):
    """A person's account, and the visits that they were billed for and have not paid."""

    enrolment: Enrolment
    unpaid: Sequence[Visit]


async def gather_accounts(
    store: Store, _module: str, _at: datetime, enrolments: Sequence[Enrolment]
) -> list[StoredAccount | None]:
    """Read the unpaid visits of each account; None for one that is closed."""
    return [None if one.closed_at is not None else StoredAccount(one, await _unpaid(store, one)) for one in enrolments]


async def _unpaid(store: Store, enrolment: Enrolment) -> list[Visit]:
    if not enrolment.has_debt():
        return []
    return (await store.find(Visit, {"person": enrolment.id, "owing": True}, limit=MAX_UNPAID)).documents


def stored_standing_facts(stored: StoredAccount, _module: str, rulebook: Rulebook, at: datetime) -> StandingFacts:
    """Return the facts that decide at an instant whether a person may pay later for an outpatient visit.

    The limit is that of the rulebook, so that an edition that changes both is previewed as a whole.
    """
    enrolment = stored.enrolment
    limit_fen: int = rulebook.evaluate(LIMIT["outpatient"], enrolment.facts, at).result
    known = enrolment.credit.get("outpatient")
    line = CreditLine(limit_fen=limit_fen, holds=() if known is None else known.holds)
    return standing_of(enrolment, "outpatient", line.available_fen(at), stored.unpaid)
