"""A person as a talent: declared and confirmed evidence, granted classes, and the facts that follow from them.

The pure changes of evidence are here; granting and ending classes is in `grants`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal, cast, get_args
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from backend.benefits.claim import Claimant
from backend.city.audit_log import UNLOGGED
from backend.i18n import Text
from backend.jobs.saga import DUE
from backend.problems import FieldError, NotFound
from backend.rulebook import Rulebook
from backend.services.talent_code.facts import (
    TALENT_CLASSES,
    BenefitFacts,
    Degree,
    DegreeLevel,
    IncomeYear,
    Pay,
    Post,
    Prize,
    TalentClass,
    TalentClassOrNone,
    TalentFacts,
    TalentTerm,
    TalentTermAsked,
    Title,
)
from backend.services.talent_code.model.evidence import (
    Evidence,
    EvidenceState,
    Qualification,
    evidence_id,
    happened_at,
    year_end,
)
from backend.services.talent_code.model.problems import EvidenceInFuture, EvidenceLimitReached, EvidenceOnRecord
from backend.services.talent_code.rule_modules import TERMS_MODULE
from backend.store import Index
from backend.store.retention import Retention

MAX_EVIDENCE = 50
MAX_GRANTS = 100
MAX_NOTIFICATIONS = 100


GrantEnd = Literal["upgraded", "renewed", "withdrawn", "lapsed"]
TalentNotificationKind = Literal[
    "granted", "upgraded", "renewed", "withdrawn", "lapsed", "refuted", "unconfirmed", "card_named", "card_changed"
]


class TalentTerms(Struct, frozen=True):
    """What decides about talents at an instant: the rulebook, and the talent code's own terms in it."""

    rulebook: Rulebook
    at: datetime

    def __call__(self, term: TalentTerm) -> int:
        """Return a figure of the terms, as the rules define it."""
        return cast("int", self.rulebook.evaluate(TERMS_MODULE, TalentTermAsked(term), self.at).result)


class Grant(Struct, frozen=True, gc=False):
    """A class granted by a rule of the catalogue, valid from `granted_at` until `until`, or until `ended_at` if set."""

    talent_class: TalentClass
    rule: str
    because: Text
    granted_at: datetime
    until: datetime
    rulebook: str
    ended_at: datetime | None = None
    end: GrantEnd | None = None

    def is_in_force(self, at: datetime) -> bool:
        """Return True if the class is valid at an instant."""
        return self.granted_at <= at < (self.ended_at or self.until)


class Figures(Struct, frozen=True, gc=False):
    """Answers of the social insurance and the tax bureau at `at`: months insured, income and income tax of `year`."""

    at: datetime
    insured_months: int
    year: int
    income_fen: int
    tax_fen: int


class TalentNotification(Struct, frozen=True, gc=False):
    """A notification about a class, evidence or the bank card.

    `sent` is True once it was handed to the notification service.
    """

    kind: TalentNotificationKind
    at: datetime
    talent_class: TalentClassOrNone = "none"
    sent: bool = False
    evidence: str | None = None


class Talent(Claimant, kw_only=True):
    """A person as a talent; the `id` is that of their Profile.

    `code_id` is the subject of their talent code. `withdrawn_at` is when their class was withdrawn, until the open
    instalments of their claims are cancelled where their terms say so.
    """

    collection: ClassVar[str] = "talents"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("code_id",)), DUE, UNLOGGED)
    retention: ClassVar[Retention] = Retention(
        grows_with="each person who opens the talent code",
        ends="when the account is closed, once no claim is kept",
        names="a person",
    )

    code_id: str
    born_at: datetime
    evidence: tuple[Evidence, ...] = ()
    grants: tuple[Grant, ...] = ()
    figures: Figures | None = None
    notifications: tuple[TalentNotification, ...] = ()
    withdrawn_at: datetime | None = None

    def grant(self, at: datetime) -> Grant | None:
        """Return the grant in force at an instant, or None."""
        return next((grant for grant in reversed(self.grants) if grant.is_in_force(at)), None)

    def class_at(self, at: datetime) -> TalentClassOrNone:
        """Return the class in force at an instant, or "none"."""
        grant = self.grant(at)
        return grant.talent_class if grant is not None else "none"

    def lost_class_since(self, at: datetime) -> bool:
        """Return True if the class of an instant was withdrawn later and not replaced at once by one as high."""
        rank = TALENT_CLASSES.index(self.class_at(at))
        withdrawals = [one.ended_at for one in self.grants if one.end == "withdrawn" and one.ended_at is not None]
        return any(at < when and TALENT_CLASSES.index(self.class_at(when)) < rank for when in withdrawals)


def notify(
    talent: Talent,
    kind: TalentNotificationKind,
    now: datetime,
    talent_class: TalentClassOrNone = "none",
    evidence: str | None = None,
) -> Talent:
    """Queue a notification for the person."""
    notification = TalentNotification(kind, now, talent_class, evidence=evidence)
    return replace(talent, notifications=(*talent.notifications, notification)[-MAX_NOTIFICATIONS:])


# ── facts ──


def talent_facts(
    talent: Talent, at: datetime, zone: ZoneInfo, states: tuple[EvidenceState, ...] = ("confirmed",)
) -> TalentFacts:
    """Return the facts that decide a person's class: evidence in these states, and months of insurance.

    Qualifications from after `at` are left out.
    """
    qualifications = (one.qualification for one in talent.evidence if one.state in states)
    known = [one for one in qualifications if happened_at(one, zone) <= at]
    return TalentFacts(
        born_at=talent.born_at,
        prizes=tuple(one for one in known if isinstance(one, Prize)),
        titles=tuple(one for one in known if isinstance(one, Title)),
        degrees=tuple(one for one in known if isinstance(one, Degree)),
        posts=tuple(one for one in known if isinstance(one, Post)),
        pay=tuple(IncomeYear(year_end(one.year, zone), one.income_fen) for one in known if isinstance(one, Pay)),
        insured_months=talent.figures.insured_months if talent.figures is not None else 0,
    )


def benefit_facts(talent: Talent, stated: Mapping[str, Any], at: datetime) -> BenefitFacts:
    """Return the facts by which a claim is judged; `stated` are those that the person states with the claim."""
    facts = BenefitFacts(born_at=talent.born_at, **stated)
    grant, figures = talent.grant(at), talent.figures
    if grant is not None:
        facts = replace(facts, talent_class=grant.talent_class, class_since=grant.granted_at)
    confirmed = [one.qualification for one in talent.evidence if one.state == "confirmed"]
    degrees = [one for one in confirmed if isinstance(one, Degree)]
    if degrees:
        highest = max(degrees, key=lambda degree: get_args(DegreeLevel).index(degree.level))
        facts = replace(facts, degree=highest.level, graduated_at=highest.awarded_at)
    if figures is not None:
        months, income_fen, tax_fen = figures.insured_months, figures.income_fen, figures.tax_fen
        facts = replace(facts, insured_months=months, income_fen=income_fen, tax_fen=tax_fen)
    return facts


# ── evidence ──


def add_evidence(talent: Talent, now: datetime, terms: TalentTerms, qualification: Qualification) -> Talent:
    """Add a declared qualification. Raises EvidenceInFuture, EvidenceOnRecord or EvidenceLimitReached."""
    if happened_at(qualification, terms.rulebook.time_zone) > now:
        raise EvidenceInFuture(
            zh="填写的时间晚于现在，请核对。",
            en="The date is in the future; please check it.",
            errors=(FieldError("/qualification", "the date is in the future"),),
        )
    key = evidence_id(talent.id, qualification)
    known = next((one for one in talent.evidence if one.id == key), None)
    if known is not None and known.state in ("declared", "confirmed"):
        raise EvidenceOnRecord(
            zh="您已申报过此项信息，无需重复申报。", en="You have already declared this.", state=known.state
        )
    others = tuple(one for one in talent.evidence if one is not known)
    if len(others) >= MAX_EVIDENCE:
        raise EvidenceLimitReached(
            zh=f"申报条目已达上限（{MAX_EVIDENCE}条），请先撤回不需要的条目。",
            en=f"You have declared {MAX_EVIDENCE} items, the maximum; remove those you do not need first.",
        )
    first = known.confirmed_at if known is not None else None
    return replace(talent, evidence=(*others, Evidence(key, qualification, now, now, confirmed_at=first)))


def remove_evidence(talent: Talent, _now: datetime, _terms: TalentTerms, evidence: str) -> Talent:
    """Remove evidence that was never confirmed. Raises NotFound or EvidenceOnRecord."""
    known = next((one for one in talent.evidence if one.id == evidence), None)
    if known is None:
        raise NotFound(zh="没有找到该申报信息，请刷新后重试。", en="There is no such evidence; please refresh.")
    if known.confirmed_at is not None:
        raise EvidenceOnRecord(zh="已核实的信息不能撤回。", en="Confirmed evidence stays on record.", state=known.state)
    return replace(talent, evidence=tuple(one for one in talent.evidence if one is not known))


def request_recheck(talent: Talent, now: datetime, _terms: TalentTerms) -> Talent:
    """Request another check of all confirmed evidence; it stays valid until a registry refutes it."""
    evidence = tuple(
        replace(one, recheck=True, check_at=now, failures=0) if one.state == "confirmed" and not one.recheck else one
        for one in talent.evidence
    )
    return replace(talent, evidence=evidence)


def record_answers(talent: Talent, answered: Sequence[Evidence], now: datetime) -> Talent:
    """Record evidence as it is after the registries' answers; notify the person if it is not confirmed after all."""
    changed = {one.id: one for one in answered}
    talent = replace(talent, evidence=tuple(changed.get(one.id, one) for one in talent.evidence))
    for one in answered:
        if one.state in ("refuted", "unconfirmed"):
            talent = notify(talent, one.state, now, evidence=one.id)
    return talent
