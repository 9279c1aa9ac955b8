"""Request and response Structs of the talent code's routes. Amounts are in fen, instants in UTC."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from backend.benefits.claim import InstalmentState
from backend.benefits.schemas import ClaimStage, ClawbackDetails
from backend.benefits.terms import Fen
from backend.city.id_number import RESIDENT_CARD, DocumentKind, TypedIdNumber
from backend.i18n import Text
from backend.rulebook.modules.declared_facts import FactType
from backend.services.talent_code.facts import TalentClass, TalentClassOrNone
from backend.services.talent_code.model.benefit import NearMissKind
from backend.services.talent_code.model.evidence import EvidenceState, Qualification
from backend.services.talent_code.model.talent import GrantEnd

# ── partners ──

ScanOutcome = Literal["valid", "expired", "clock_differs", "unreadable", "unknown_key", "forged", "no_class"]


class TalentScanRequest(Struct, forbid_unknown_fields=True):
    """A talent code that was scanned at one of the caller's places, such as `park-xixi`."""

    payload: Annotated[str, Meta(min_length=1, max_length=2_000)]
    place: Annotated[str, Meta(min_length=1, max_length=64)]


class RedemptionRequest(TalentScanRequest, forbid_unknown_fields=True):
    """One use of a benefit by the holder of a code. `redemption_id` is the partner's; repeated, it counts once."""

    benefit: Annotated[str, Meta(min_length=1, max_length=100)]
    redemption_id: Annotated[str, Meta(min_length=8, max_length=64)]


class Entitlement(Struct, frozen=True):
    """A service that the holder of a code is entitled to: a `figure` of a `unit`, and the `remaining` uses this year.

    `remaining` is None if the number of uses is unlimited.
    """

    benefit: str
    title: Text
    figure: int
    unit: Literal["level", "months", "percent"]
    remaining: int | None


class OwnEntitlement(Entitlement, frozen=True):
    """An entitlement as shown to the holder, with the reason, which may name their class."""

    because: Text


class TalentVerification(Struct, frozen=True):
    """The result of a scan. It discloses nothing else about the holder, not even their class.

    `no_class`: the code is genuine, and its holder has no class any more.
    """

    outcome: ScanOutcome
    message: Text
    entitlements: list[Entitlement] = []


# ── the citizen as a talent ──


class EvidenceDetails(Struct, frozen=True):
    """A qualification that the caller declared, and the registry's answer about it."""

    id: str
    qualification: Qualification
    state: EvidenceState
    declared_at: datetime
    answered_at: datetime | None


class GrantDetails(Struct, frozen=True):
    """A class that was granted; `end` is how it ended, or None."""

    talent_class: TalentClass
    rule: str
    because: Text
    granted_at: datetime
    until: datetime
    ended_at: datetime | None
    end: GrantEnd | None
    rulebook: str


class NextClassOption(Struct, frozen=True):
    """One of the ways to the next class; any of them is enough."""

    rule: str
    because: Text
    remedy: Text | None


class TalentDetails(Struct, frozen=True):
    """The caller as a talent.

    `grant` is the class in force, `review_at` when its review starts. `class_if_confirmed` is the class if everything
    declared is confirmed; `next_class` is the one above the present class, with the ways to it in `next_class_options`.
    Nothing is paid to the bank card before `account_usable_from`, if it is set.
    """

    talent_class: TalentClassOrNone
    grant: GrantDetails | None
    review_at: datetime | None
    evidence: list[EvidenceDetails]
    class_if_confirmed: TalentClassOrNone
    next_class: TalentClass | None
    next_class_options: list[NextClassOption]
    previous_grants: list[GrantDetails]
    account_ending: str | None
    account_usable_from: datetime | None


class EvidenceRequest(Struct, forbid_unknown_fields=True):
    """A qualification that the caller declares."""

    qualification: Qualification


class TalentCode(Struct, frozen=True, gc=False):
    """The caller's code as of now: `payload` is the content of the QR image, valid until `expires_at`."""

    talent_class: TalentClassOrNone
    because: Text
    until: datetime
    entitlements: list[OwnEntitlement]
    payload: str
    issued_at: datetime
    expires_at: datetime


# ── claims ──

BenefitName = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]
Homes = Annotated[int, Meta(ge=0, le=1_000)]
Value = bool | Annotated[int, Meta(ge=-(2**53), le=2**53)] | Annotated[str, Meta(max_length=200)] | None
Answer = Value | Annotated[list[dict[str, Value]], Meta(max_length=100)]
"""What a person answers to a question of a benefit; what kind it must have is the benefit's."""


class OfferedInstalment(Struct, frozen=True):
    """An instalment of an offer, due after a number of months of social insurance."""

    amount_fen: int
    milestone: int = field(name="insured_months")


class ClaimInstalmentDetails(OfferedInstalment, frozen=True):
    """An instalment of a claim, due after a number of months of insurance, and its receipt once it is paid."""

    state: InstalmentState
    paid_at: datetime | None
    receipt: str | None


class ClaimDetails(Struct, frozen=True):
    """A claim: the decision with its rule and reason, the payments, and the present `message` for the citizen.

    `stage`: `waiting` for budget, `granted` until its first instalment is due, `paying` until the bank has decided,
    `partly_paid` while instalments are open, `paid` when none is; `read_by_officers` are the instants at which an
    officer viewed it.
    """

    id: str
    benefit: str
    title: Text
    stage: ClaimStage
    message: Text
    claimed_at: datetime
    rule: str
    because: Text
    rulebook: str
    amount_fen: int
    paid_fen: int
    returned_fen: int
    instalments: list[ClaimInstalmentDetails]
    clawback: ClawbackDetails | None
    read_by_officers: list[datetime]


class Offer(Struct, frozen=True):
    """Money that the caller can claim now, with one tap.

    `amount_fen` is None if it depends on an expense that is stated with the claim; `max_amount_fen` is its limit.
    """

    benefit: str
    title: Text
    rule: str
    because: Text
    amount_fen: int | None
    max_amount_fen: int | None
    instalments: list[OfferedInstalment]


class BenefitQuestion(Struct, frozen=True):
    """A fact that a benefit asks of the caller: `answer` is what an answer must be.

    `type` is bool, number, money (in fen), date, instant, words, text or records; `optional` ones may be left out. A
    list of records asks the `fields` of each.
    """

    name: str
    type: FactType
    meaning: Text
    answer: Text
    optional: bool
    words: tuple[str, ...] = ()
    fields: "tuple[BenefitQuestion, ...]" = ()


class QuestionsOfBenefit(Struct, frozen=True):
    """A benefit that depends on answers of the caller, which go into `facts` of an offer or a claim."""

    benefit: str
    title: Text
    questions: list[BenefitQuestion]


class OfferRequest(Struct, forbid_unknown_fields=True):
    """A benefit, and the answers to its questions by their names."""

    benefit: BenefitName
    facts: dict[str, Answer] = {}
    homes: Homes | None = None


class OfferDetails(Struct, frozen=True):
    """What the caller would get now: an offer, or None with the reason and the remedy."""

    offer: Offer | None
    rule: str
    because: Text
    remedy: Text | None


class NearMissDetails(Struct, frozen=True):
    """A benefit that the caller would have but for one thing.

    `kind`: one condition is not met; it requires the next class; it becomes available at `from_at`; or the caller's
    own claims exclude it, until `from_at` or for good.
    """

    benefit: str
    title: Text
    kind: NearMissKind | Literal["own_claims"]
    because: Text
    remedy: Text | None
    from_at: datetime | None


class BenefitOverview(Struct, frozen=True):
    """The benefits that the caller can claim, has claimed and narrowly misses.

    `available` is money to claim, `services` are what partners honour on sight of the code, `claimed` are the claims,
    newest first. `asking` are benefits that depend on answers of the caller, if some answer could give something now.
    """

    available: list[Offer]
    services: list[OwnEntitlement]
    claimed: list[ClaimDetails]
    near_misses: list[NearMissDetails]
    asking: list[QuestionsOfBenefit] = []


class ClaimRequest(Struct, forbid_unknown_fields=True):
    """The benefit to claim, and what the caller states: homes owned in the city, and the amount spent.

    `facts` are the answers to the questions of the benefit, by their names.
    A field that is left out states that there is none. Statements are accepted at once and may be audited later; money
    that was paid on false statements is claimed back.
    """

    benefit: BenefitName
    homes: Homes | None = None
    spent_fen: Fen | None = None
    facts: dict[str, Answer] = {}


# ── officers ──


class AppealDetails(Struct, frozen=True):
    """An appeal with its claim and the person's text."""

    claim: ClaimDetails
    text: str
    appealed_at: datetime


class ReviewRequest(Struct, forbid_unknown_fields=True):
    """The person whose evidence is to be checked again."""

    id_number: TypedIdNumber
    document_kind: DocumentKind = RESIDENT_CARD
