"""A fictional service that uses the benefits engine: a library pays reading circles for evenings and books.

A circle is a firm. It registers with the library, which counts its members and evenings, and states how much it spent
on books. The library may close a circle; then its open instalments are cancelled if the terms say so.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from backend.benefits import budget, claim, terms
from backend.benefits.claim import Claimant
from backend.benefits.claims import check_past_claims, claim_id, new_claim, submit_claim
from backend.benefits.offers import Offers
from backend.benefits.problems import NotEntitled, UnknownBenefit
from backend.benefits.saga import claim_saga
from backend.benefits.service import Benefits
from backend.benefits.terms import Fen, OfferTerms, Term, Terms
from backend.city.service import City, Service
from backend.city.upstream import UpstreamTimeout
from backend.i18n import Text
from backend.jobs.tasks import TaskReference
from backend.rulebook.needs import NUMBERS, RuleModule


class Instalment(terms.Instalment, frozen=True, gc=False, forbid_unknown_fields=True):
    """A share of a grant, due after a number of evenings."""

    evenings: Annotated[int, Meta(ge=0)] = 0

    @property
    def milestone(self) -> int:
        return self.evenings


class CircleTerms(OfferTerms, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """The terms of a grant to reading circles."""

    module_prefix: ClassVar[str] = "reading_circles.grants."
    milestones: ClassVar[str] = "more evenings"

    subject: Literal["firm"]
    instalments: tuple[Instalment, ...] = ()

    @classmethod
    def amounts(cls) -> set[str]:
        return {"spent_fen"}


class CircleFacts(Struct, frozen=True, gc=False, kw_only=True):
    """Facts that decide a grant: the members that the library counted and the expenses that the circle states."""

    terms: ClassVar[type[Struct]] = CircleTerms

    members: Annotated[int, Meta(ge=0)] = 0
    spent_fen: Fen = 0


class CircleAuditFacts(Struct, frozen=True, gc=False, kw_only=True):
    """Facts of a paid grant for the rules that select grants for audits."""

    amount_fen: Fen
    draw: Annotated[int, Meta(ge=0, le=999)]


class Circle(Claimant, kw_only=True):
    """A reading circle, which the library may close."""

    collection: ClassVar[str] = "circles"

    chair: str
    closed_at: datetime | None = None


class CircleClaim(claim.Claim, kw_only=True):
    """A circle's claim to a grant."""

    collection: ClassVar[str] = "circle_claims"

    facts: CircleFacts


class CircleBudget(budget.Budget, kw_only=True):
    """The library's budget for a grant."""

    collection: ClassVar[str] = "circle_budgets"


class Library:
    """The library's records of members, evenings and invoices; its next `timeouts` requests fail."""

    def __init__(self) -> None:
        self.members: dict[str, int] = {}
        self.evenings: dict[str, int] = {}
        self.invoiced_fen: dict[str, int] = {}
        self.timeouts = 0

    def look_up(self, known: dict[str, int], circle: str) -> int:
        if self.timeouts:
            self.timeouts -= 1
            raise UpstreamTimeout("the library is closed today")
        return known.get(circle, 0)


library = Library()
LIMITS: dict[Term, int] = {
    "audit_days": 3,
    "appeal_days": 15,
    "repay_days": 30,
    "instalment_hours": 24,
    "payout_tries": 5,
    "card_wait_days": 3,
}


def limits(_city: City, _at: datetime) -> Terms:
    return LIMITS.__getitem__


async def circle_name(_city: City, held: CircleClaim) -> str:
    return held.subject


async def evenings(_city: City, held: CircleClaim) -> int:
    return library.look_up(library.evenings, held.subject)


async def true_facts(_city: City, paid: CircleClaim) -> CircleFacts:
    spent_fen = library.look_up(library.invoiced_fen, paid.subject)
    members = library.look_up(library.members, paid.subject)
    return CircleFacts(members=min(members, paid.facts.members), spent_fen=min(spent_fen, paid.facts.spent_fen))


grants = claim_saga(
    Benefits(
        claim=CircleClaim,
        claimant=Circle,
        budget=CircleBudget,
        offer=CircleTerms,
        shown_in=Text(zh="借书证", en="your library card"),
        terms=limits,
        payee=circle_name,
        facts=lambda paid: paid.facts,
        progress=evenings,
        entitlement_lost=lambda circle, made: circle.closed_at is not None and circle.closed_at >= made.claimed_at,
        audit_module="reading_circles.audit",
        audit_facts=lambda paid, draw: CircleAuditFacts(amount_fen=paid.amount_fen, draw=draw),
        verified_facts=true_facts,
        advance_claim=TaskReference("reading_circles.advance_claim"),
        serve_waitlist=TaskReference("reading_circles.serve_waitlist"),
    )
)


async def claim_grant(city: City, circle_id: str, grant: str, key: str, spent_fen: int) -> CircleClaim:
    """Claim a grant for a circle, once per key. Raises UnknownBenefit, NotEntitled, AlreadyClaimed ..."""
    circle = await city.store.get(Circle, circle_id)
    assert circle is not None
    known = await city.store.get(CircleClaim, claim_id(circle_id, key))
    if known is not None:
        return await submit_claim(grants, city, known, None)
    facts = CircleFacts(members=library.members.get(circle_id, 0), spent_fen=spent_fen)
    offers, now = Offers(city.rulebook, CircleTerms), city.now()
    judged = offers.judge(grant, facts, now)
    if judged is None:
        raise UnknownBenefit(Text(zh="没有该项资助。", en="There is no such grant."))
    if not judged.is_entitled or circle.closed_at is not None:
        raise NotEntitled(judged.verdict.because)
    await check_past_claims(grants.benefits, city, circle, grant, now)
    new = new_claim(
        CircleClaim,
        claim_id(circle_id, key),
        circle_id,
        judged,
        facts=facts,
        contact=circle.chair,
        progress=library.evenings.get(circle_id, 0),
    )
    return await submit_claim(grants, city, await grants.start(city, new), circle)


service = Service(
    name="reading_circles",
    title=Text(zh="读书会", en="Reading circles"),
    routes=[],
    documents=[Circle, CircleClaim, CircleBudget],
    rule_modules=[
        RuleModule(f"{CircleTerms.module_prefix}*", CircleFacts, NUMBERS),
        RuleModule("reading_circles.audit", CircleAuditFacts, ("skip", "audit")),
    ],
)
