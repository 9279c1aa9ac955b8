"""What people are shown of a claim."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from backend.i18n import Text, yuan
from backend.services.talent_code.model.claim import Audit, Claim, Clawback, PartState

ClaimStage = Literal["claimed", "waiting", "granted", "paying", "partly_paid", "paid", "failed", "given_up"]


class PartShown(Struct, frozen=True):
    """A part of a claim, due after so many months of insurance, and its receipt once it is paid."""

    amount_fen: int
    insured_months: int
    state: PartState
    paid_at: datetime | None
    receipt: str | None


class ClawbackShown(Struct, frozen=True):
    """What is claimed back, why, and what can be done about it.

    `differing` names the facts that turned out otherwise. What is still to come becomes `reduction_fen` less
    unless an appeal is won; parts that it does not concern are paid meanwhile. An appeal may be made until
    `appeal_until`; from `collect_at` on what is owed is collected from the bank account.
    """

    amount_fen: int
    owed_fen: int
    reduction_fen: int
    because: Text
    differing: tuple[str, ...]
    noticed_at: datetime
    appeal_until: datetime
    collect_at: datetime
    appeal: Literal["none", "waiting", "won", "lost"]
    decision: Text | None


class ClaimShown(Struct, frozen=True):
    """A claim: what was decided, by which rule and why, what was paid, and what is said of it now.

    `stage`: `waiting` for budget, `granted` while its first part is still to come, `paying` while the bank has not
    decided, `partly_paid` while parts are still to come, `paid` when nothing more is; `read_by_officers` are the
    instants at which an officer looked at it.
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
    parts: list[PartShown]
    clawback: ClawbackShown | None
    read_by_officers: list[datetime]


_MESSAGES: dict[ClaimStage, Text] = {
    "claimed": Text(zh="申领已受理。", en="Your claim is being handled."),
    "waiting": Text(
        zh="预算已用完，您的申领已排队，有余额即自动发放，无需再次申请。",
        en="The budget is used up. Your claim is in line and is paid by itself as soon as it can be; do nothing.",
    ),
    "granted": Text(zh="已批准，到期自动发放。", en="It was granted, and comes by itself when it is due."),
    "paying": Text(zh="银行正在处理，请勿重复申领。", en="The bank is at it; do not claim again."),
    "partly_paid": Text(zh="已发放{yuan}元，其余到期自动发放。", en="{yuan} yuan were paid; the rest comes by itself."),
    "paid": Text(zh="已发放{yuan}元。", en="{yuan} yuan were paid."),
    "failed": Text(
        zh="未能发放。如仍符合条件，请核对收款账户后重新申领。",
        en="It was not paid. If you still may have it, check your account and claim again.",
    ),
    "given_up": Text(zh="您已放弃本次申领。", en="You gave this claim up."),
}


def claim_shown(claim: Claim) -> ClaimShown:
    """Show a claim as it stands."""
    stage = stage_of(claim)
    words, sum_ = _MESSAGES[stage], yuan(claim.paid_fen)
    return ClaimShown(
        id=claim.id,
        benefit=claim.benefit,
        title=claim.title,
        stage=stage,
        message=Text(zh=words.zh.format(yuan=sum_), en=words.en.format(yuan=sum_)),
        claimed_at=claim.claimed_at,
        rule=claim.rule,
        because=claim.because,
        rulebook=claim.rulebook,
        amount_fen=claim.amount_fen,
        paid_fen=claim.paid_fen,
        returned_fen=claim.returned_fen,
        parts=[
            PartShown(part.amount_fen, part.insured_months, part.state, part.paid_at, part.receipt)
            for part in claim.parts
        ],
        clawback=_clawback_shown(claim, claim.clawback, claim.audit) if claim.clawback and claim.audit else None,
        read_by_officers=[reading.at for reading in claim.readings],
    )


def stage_of(claim: Claim) -> ClaimStage:
    """Tell how far a claim has come."""
    match claim.state:
        case "draft" | "claimed":
            return "claimed"
        case "waiting" | "failed" | "given_up":
            return claim.state
        case "granted":
            if claim.asked() is not None:
                return "paying"
            if claim.sum_fen("open") == 0:
                return "paid"
            return "partly_paid" if claim.paid_fen else "granted"


def _clawback_shown(claim: Claim, clawback: Clawback, audit: Audit) -> ClawbackShown:
    appeal = clawback.appeal
    outcome: Literal["none", "waiting", "won", "lost"] = "none"
    if appeal is not None:
        outcome = "waiting" if appeal.upheld is None else "lost" if appeal.upheld else "won"
    return ClawbackShown(
        amount_fen=clawback.amount_fen,
        owed_fen=clawback.owed_fen,
        reduction_fen=claim.excess_fen,
        because=Text(
            zh="核查发现：" + "、".join(_FACTS[name].zh for name in audit.differing) + "与登记不符。",
            en="An audit found that the registries have it otherwise: "
            + ", ".join(_FACTS[name].en for name in audit.differing),
        ),
        differing=audit.differing,
        noticed_at=clawback.noticed_at,
        appeal_until=clawback.appeal_until,
        collect_at=clawback.collect_at,
        appeal=outcome,
        decision=appeal.reason if appeal is not None else None,
    )


_FACTS: dict[str, Text] = {
    "talent_class": Text(zh="人才类别", en="the class"),
    "class_since": Text(zh="人才类别起始时间", en="since when there was a class"),
    "degree": Text(zh="最高学位", en="the highest degree"),
    "graduated_at": Text(zh="毕业时间", en="the day of graduation"),
    "income_fen": Text(zh="年收入", en="the year's income"),
    "tax_fen": Text(zh="个人所得税", en="the income tax"),
    "homes": Text(zh="名下住房", en="homes owned"),
    "spent_fen": Text(zh="支出金额", en="what was spent"),
}
