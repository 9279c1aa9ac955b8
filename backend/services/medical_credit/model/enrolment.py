"""A person's enrolment in pay later, and family payers."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar

from backend.i18n import Text
from backend.paylater.account import Account
from backend.paylater.family import FamilyConsent
from backend.services.medical_credit.facts import CreditFacts, Term
from backend.store import Index
from backend.store.retention import Retention

AGREEMENT = "2026-01"
"""The version of the agreement that people consent to."""

IGNORED_MESSAGES_SETTLE = timedelta(minutes=2)
"""A message that was being ignored while the person consented is stored by then."""

Terms = Callable[[Term], int]
"""Returns a figure of the agreement in force."""


class Enrolment(Account, kw_only=True):
    """A person's account for paying hospitals later; `facts` were read from the registries at `facts_at`.

    `hospitals` are the codes of those that may use it, None for all of the city. They were chosen at `hospitals_at`.
    `ignored_due_ms` is when messages that were ignored before the person consented are processed for the last time.
    """

    collection: ClassVar[str] = "medical_credit_enrolments"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="ignored_due_ms"),)
    not_enrolled: ClassVar[Text] = Text(
        zh="您尚未开通先看病后付费，请先开通。", en="You are not enrolled in pay later; please enrol first."
    )
    outstanding: ClassVar[Text] = Text(
        zh="您有未结清的账单或未结束的就诊，结清后可以关闭。",
        en="You have an unpaid bill or a visit in progress; settle it first.",
    )
    retention: ClassVar[Retention] = Retention(
        grows_with="each person who enrols",
        ends="when the account is closed, once no bill or visit is kept",
        names="a person",
    )

    facts: CreditFacts
    facts_at: datetime
    hospitals: tuple[str, ...] | None = None
    hospitals_at: datetime | None = None
    ignored_due_ms: int | None = None

    def allows(self, hospital: str) -> bool:
        """Return whether the person lets a hospital use their account without a desk token."""
        return self.hospitals is None or hospital in self.hospitals


class FamilyPayer(FamilyConsent, kw_only=True):
    """A family payer's consent to pay the bills of a patient."""

    collection: ClassVar[str] = "family_consents"
    retention: ClassVar[Retention] = Retention(
        grows_with="each pair of relatives",
        ends="when either closes their account",
        names="a person",
    )
