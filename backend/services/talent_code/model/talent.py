"""What the city knows of a talent: what they declared, what registries confirmed, and the classes they were granted.

A class follows from the catalogue, never from a hand. It is granted for a time under the law of the day on which it is
granted, and stands until then although the catalogue changes. It is withdrawn sooner only where it would not have been
granted at all: where what is still confirmed does not carry it by the law of its own day.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from backend.i18n import Text
from backend.rulebook import Rulebook, Verdict
from backend.services.talent_code.facts import (
    STANDINGS,
    BenefitFacts,
    Degree,
    PaidYear,
    Pay,
    Post,
    Prize,
    Standing,
    TalentClass,
    TalentFacts,
    Term,
    Title,
)
from backend.store import Document, Index

CLASS = "talent_code.class"
MAX_EVIDENCE = 50
GRANTS_KEPT = 100

LAST_DAY = timedelta(days=1)
"""So long before its end a class is prolonged whose review still waits for an answer."""

ASKED_AGAIN_AFTER = timedelta(seconds=10)
MAX_CHECK_INTERVAL = timedelta(hours=6)
"""How soon a registry that did not answer is asked again: each time after twice as long, up to this."""

Terms = Callable[[Term], int]
"""Gives the talent code's own figures, as the rules have them."""

Said = Prize | Title | Degree | Post | Pay
EvidenceState = Literal["declared", "confirmed", "refuted", "unconfirmed"]
End = Literal["upgraded", "renewed", "withdrawn", "lapsed"]
Told = Literal["granted", "upgraded", "renewed", "withdrawn", "lapsed", "refuted", "unconfirmed"]


class Evidence(Struct, frozen=True, gc=False):
    """Something that a person declared, and what came of looking into it.

    `again` asks the registry once more although it has answered before; what was confirmed counts meanwhile. A registry
    that did not answer is asked again at `ask_at`, and so is one that is still looking.
    """

    id: str
    said: Said
    declared_at: datetime
    ask_at: datetime
    state: EvidenceState = "declared"
    confirmed_at: datetime | None = None
    answered_at: datetime | None = None
    again: bool = False
    failures: int = 0

    def is_asked(self) -> bool:
        """Tell whether a registry is to be asked about it."""
        return self.state == "declared" or self.again


class Grant(Struct, frozen=True, gc=False):
    """A class that was granted, by a rule of the catalogue, from `granted_at` until `until`, unless it ended before."""

    talent_class: TalentClass
    rule: str
    because: Text
    granted_at: datetime
    until: datetime
    rulebook: str
    ended_at: datetime | None = None
    end: End | None = None

    def counts(self, at: datetime) -> bool:
        """Tell whether the class is in force at an instant."""
        return self.granted_at <= at < (self.ended_at or self.until)


class Figures(Struct, frozen=True, gc=False):
    """What social insurance and tax bureau said at `at`: months insured, income and income tax of `year`."""

    at: datetime
    insured_months: int
    year: int
    income_fen: int
    tax_fen: int


class Taken(Struct, frozen=True, gc=False):
    """That a benefit was claimed: it bars others, and itself for a time."""

    claim: str
    benefit: str
    at: datetime


class Notice(Struct, frozen=True, gc=False):
    """Something that a talent is told about their class or evidence; `told` says that it was handed over."""

    kind: Told
    at: datetime
    talent_class: Standing = "none"
    told: bool = False


class Talent(Document, kw_only=True):
    """A person as a talent; the `id` is that of their Profile.

    `code_id` is what their code carries. The bank `account` is sealed, and only its `account_ending` is ever shown.
    """

    collection: ClassVar[str] = "talents"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("code_id",)), Index((), ordered="due_ms"))

    code_id: str
    born_at: datetime
    evidence: tuple[Evidence, ...] = ()
    grants: tuple[Grant, ...] = ()
    figures: Figures | None = None
    account: str | None = None
    account_ending: str | None = None
    taken: tuple[Taken, ...] = ()
    notices: tuple[Notice, ...] = ()
    failures: int = 0
    due_ms: int | None = None

    def grant(self, at: datetime) -> Grant | None:
        """Give the class in force at an instant, or None."""
        return next((grant for grant in reversed(self.grants) if grant.counts(at)), None)

    def standing(self, at: datetime) -> Standing:
        """Give the class in force at an instant, or "none"."""
        grant = self.grant(at)
        return grant.talent_class if grant is not None else "none"

    def lost_since(self, at: datetime) -> bool:
        """Tell whether the class of an instant was withdrawn since, and not replaced at once by one as high."""
        rank = STANDINGS.index(self.standing(at))
        withdrawals = [one.ended_at for one in self.grants if one.end == "withdrawn" and one.ended_at is not None]
        return any(at < when and STANDINGS.index(self.standing(when)) < rank for when in withdrawals)


# ── facts ──


def talent_facts(
    talent: Talent, at: datetime, zone: ZoneInfo, states: tuple[EvidenceState, ...] = ("confirmed",)
) -> TalentFacts:
    """Give what counts for a person's class: the evidence in these states, and months of insurance."""
    counting = [one for one in talent.evidence if one.state in states]
    return facts_of(talent, (one.said for one in counting), at, zone)


def facts_of(talent: Talent, evidence: Iterable[Said], at: datetime, zone: ZoneInfo) -> TalentFacts:
    """Give the facts of a person for whom just this evidence counts. What happened after `at` is left out."""
    prizes: list[Prize] = []
    titles: list[Title] = []
    degrees: list[Degree] = []
    posts: list[Post] = []
    pay: list[PaidYear] = []
    for said in evidence:
        match said:
            case Prize():
                prizes.append(said)
            case Title():
                titles.append(said)
            case Degree():
                degrees.append(said)
            case Post():
                posts.append(said)
            case Pay():
                pay.append(PaidYear(year_ends(said.year, zone), said.income_fen))
    return TalentFacts(
        born_at=talent.born_at,
        prizes=tuple(one for one in prizes if one.awarded_at <= at),
        titles=tuple(one for one in titles if one.granted_at <= at),
        degrees=tuple(one for one in degrees if one.awarded_at <= at),
        posts=tuple(one for one in posts if one.since <= at),
        pay=tuple(one for one in pay if one.ended_at <= at),
        insured_months=talent.figures.insured_months if talent.figures is not None else 0,
    )


def happened_at(said: Said, zone: ZoneInfo) -> datetime:
    """Give the instant at which something that is declared had happened."""
    match said:
        case Prize() | Degree():
            return said.awarded_at
        case Title():
            return said.granted_at
        case Post():
            return said.since
        case Pay():
            return year_ends(said.year, zone)


def year_ends(year: int, zone: ZoneInfo) -> datetime:
    """Give the midnight that ends a calendar year of the city."""
    return datetime(year + 1, 1, 1, tzinfo=zone)


_DEGREES = ("none", "bachelor", "master", "doctor")


def benefit_facts(talent: Talent, stated: Mapping[str, Any], at: datetime) -> BenefitFacts:
    """Give the facts by which a claim is judged; `stated` are those that the person states themselves."""
    degrees = [one.said for one in talent.evidence if one.state == "confirmed" and isinstance(one.said, Degree)]
    highest = max(degrees, key=lambda degree: _DEGREES.index(degree.level), default=None)
    grant, figures = talent.grant(at), talent.figures
    return BenefitFacts(
        born_at=talent.born_at,
        talent_class=grant.talent_class if grant is not None else "none",
        class_since=grant.granted_at if grant is not None else None,
        degree=highest.level if highest is not None else "none",
        graduated_at=highest.awarded_at if highest is not None else None,
        insured_months=figures.insured_months if figures is not None else 0,
        income_fen=figures.income_fen if figures is not None else 0,
        tax_fen=figures.tax_fen if figures is not None else 0,
        **stated,
    )


# ── evidence ──


def ask_again(talent: Talent, now: datetime) -> Talent:
    """Have all evidence that counts looked into once more; it goes on counting until a registry says otherwise."""
    evidence = tuple(
        replace(one, again=True, ask_at=now, failures=0) if one.state == "confirmed" and not one.again else one
        for one in talent.evidence
    )
    return replace(talent, evidence=evidence)


def found(talent: Talent, evidence_id: str, *, confirmed: bool, now: datetime) -> Talent:
    """Note what a registry found of a piece of evidence, and tell the person of a refutation.

    A post that was confirmed before, and is not now, has ended meanwhile: that makes nothing false that it gave.
    """

    def change(one: Evidence) -> Evidence:
        answered = replace(one, answered_at=now, again=False, failures=0)
        if confirmed:
            return replace(answered, state="confirmed", confirmed_at=one.confirmed_at or now)
        if isinstance(one.said, Post) and one.confirmed_at is not None:
            return replace(answered, said=replace(one.said, until=one.said.until or now))
        return replace(answered, state="refuted")

    changed = _change_evidence(talent, evidence_id, change)
    refuted = any(one.id == evidence_id and one.state == "refuted" for one in changed.evidence)
    return notify(changed, "refuted", now) if refuted and changed is not talent else changed


def not_found_yet(talent: Talent, evidence_id: str, now: datetime, registry_days: int) -> Talent:
    """Note that a registry did not answer, or has not decided; after `registry_days` it is asked no more.

    What was confirmed before then stays so; what was only declared is unconfirmed, and the person is told.
    """

    def change(one: Evidence) -> Evidence:
        failures = one.failures + 1
        wait = min(ASKED_AGAIN_AFTER * 2 ** min(failures - 1, 12), MAX_CHECK_INTERVAL)
        later = replace(one, failures=failures, ask_at=now + wait)
        if one.state == "declared" and now - one.declared_at >= timedelta(days=registry_days):
            return replace(later, state="unconfirmed")
        return later

    changed = _change_evidence(talent, evidence_id, change)
    gave_up = any(one.id == evidence_id and one.state == "unconfirmed" for one in changed.evidence)
    return notify(changed, "unconfirmed", now) if gave_up and changed is not talent else changed


def _change_evidence(talent: Talent, evidence_id: str, change: Callable[[Evidence], Evidence]) -> Talent:
    known = next((one for one in talent.evidence if one.id == evidence_id and one.is_asked()), None)
    if known is None:
        return talent  # taken back, or answered meanwhile
    changed = change(known)
    return replace(talent, evidence=tuple(changed if one is known else one for one in talent.evidence))


# ── classes ──


def reconsider(talent: Talent, rulebook: Rulebook, now: datetime, term: Terms, zone: ZoneInfo) -> Talent:
    """Bring a person's class up to now: grant, upgrade, renew, withdraw it, or let it lapse, as the catalogue says."""
    talent = _lapsed(_prolonged(talent, now, term("review_days")), now)
    current = talent.grant(now)
    if current is not None and not _carried(talent, current, rulebook, zone):
        talent = _ended(talent, current, "withdrawn", now)
        talent = notify(talent, "withdrawn", now, current.talent_class)
        current = None
    verdict = rulebook.evaluate(CLASS, talent_facts(talent, now, zone), now)
    rank, held = STANDINGS.index(verdict.result), STANDINGS.index(current.talent_class) if current is not None else 0
    until = now + timedelta(days=term("grant_days"))
    if rank > held:
        if current is not None:
            talent = _ended(talent, current, "upgraded", now)
        talent = _granted(talent, verdict, until)
        return notify(talent, "granted" if held == 0 else "upgraded", now, verdict.result)
    if current is not None and rank == held and _is_reviewed(talent, current, now, term("review_days")):
        talent = _granted(_ended(talent, current, "renewed", now), verdict, until)
        return notify(talent, "renewed", now, verdict.result)
    return talent


def reviews_at(grant: Grant, review_days: int) -> datetime:
    """Give when a class is looked at again before it ends."""
    return max(grant.granted_at, grant.until - timedelta(days=review_days))


def awaits_review(talent: Talent, now: datetime, review_days: int) -> bool:
    """Tell whether evidence must be asked for again before the class can be renewed."""
    current = talent.grant(now)
    if current is None or now < reviews_at(current, review_days):
        return False
    confirmed = [one for one in talent.evidence if one.state == "confirmed" and not one.again]
    return any(_is_old(one, current, review_days) for one in confirmed)


def _is_old(one: Evidence, current: Grant, review_days: int) -> bool:
    return one.answered_at is None or one.answered_at < reviews_at(current, review_days)


def _is_reviewed(talent: Talent, current: Grant, now: datetime, review_days: int) -> bool:
    """Tell whether it is time to renew, and every registry has answered anew."""
    if now < reviews_at(current, review_days):
        return False
    return not any(one.state == "confirmed" and _is_old(one, current, review_days) for one in talent.evidence)


def _carried(talent: Talent, grant: Grant, rulebook: Rulebook, zone: ZoneInfo) -> bool:
    """Tell whether what is still confirmed gives the class by the law of the instant at which it was granted."""
    facts = talent_facts(talent, grant.granted_at, zone)
    verdict = rulebook.evaluate(CLASS, facts, grant.granted_at)
    return STANDINGS.index(verdict.result) >= STANDINGS.index(grant.talent_class)


def _prolonged(talent: Talent, now: datetime, review_days: int) -> Talent:
    """Let a class go on that would end while registries still owe an answer: that is no fault of the person's."""
    current = talent.grant(now)
    if current is None or now < current.until - LAST_DAY or not any(one.again for one in talent.evidence):
        return talent
    longer = replace(current, until=current.until + timedelta(days=review_days))
    return replace(talent, grants=tuple(longer if one is current else one for one in talent.grants))


def _lapsed(talent: Talent, now: datetime) -> Talent:
    last = talent.grants[-1] if talent.grants else None
    if last is None or last.ended_at is not None or now < last.until:
        return talent
    return notify(_ended(talent, last, "lapsed", last.until), "lapsed", now, last.talent_class)


def _ended(talent: Talent, grant: Grant, end: End, at: datetime) -> Talent:
    ended = replace(grant, ended_at=at, end=end)
    return replace(talent, grants=tuple(ended if one is grant else one for one in talent.grants))


def _granted(talent: Talent, verdict: Verdict, until: datetime) -> Talent:
    made = Grant(verdict.result, verdict.rule, verdict.because, verdict.at, until, verdict.rulebook)
    return replace(talent, grants=(*talent.grants, made)[-GRANTS_KEPT:])


def notify(talent: Talent, kind: Told, now: datetime, talent_class: Standing = "none") -> Talent:
    """Have the person told something."""
    return replace(talent, notices=(*talent.notices, Notice(kind, now, talent_class))[-GRANTS_KEPT:])


# ── when a sweep is to look again ──


def rested(talent: Talent, now: datetime, review_days: int) -> Talent:
    """Note when somebody is to look after a talent again."""
    moments = [one.ask_at for one in talent.evidence if one.is_asked()]
    grant = talent.grant(now)
    if grant is not None:
        review = reviews_at(grant, review_days)
        moments.append(min(at for at in (review, grant.until - LAST_DAY, grant.until) if now < at))
    elif talent.grants and talent.grants[-1].ended_at is None:
        moments.append(now)
    if any(not notice.told for notice in talent.notices):
        moments.append(now + min(timedelta(seconds=5 * 2 ** min(talent.failures, 10)), timedelta(hours=1)))
    due_ms = int(min(moments).timestamp() * 1_000) if moments else None
    return talent if due_ms == talent.due_ms else replace(talent, due_ms=due_ms)
