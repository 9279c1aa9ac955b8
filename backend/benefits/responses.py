"""Responses of routes that benefit services share, built from claims and budgets."""

from collections.abc import Mapping
from typing import Literal

from backend.benefits.budgets import get_current_budget
from backend.benefits.claim import Claim
from backend.benefits.reservations import first_waiting
from backend.benefits.schemas import AppealList, AppealSummary, BudgetDetails, BudgetList, ClaimStage, ClawbackDetails
from backend.benefits.service import AnyBenefits
from backend.city.service import City
from backend.i18n import Text, yuan
from backend.store import Order

PAGE = 50

_MESSAGES: dict[ClaimStage, Text] = {
    "claimed": Text(zh="申领已受理，正在处理。", en="Your claim is being processed."),
    "waiting": Text(
        zh="本年度预算已用完，您的申领已进入排队，有预算后自动发放，无需再次申领。",
        en="This year's budget is used up. Your claim is on the waiting list. "
        "It will be paid automatically when funds are available; you need not do anything.",
    ),
    "granted": Text(
        zh="已批准，满足发放条件后自动发放。", en="It was granted and will be paid automatically when it is due."
    ),
    "paying": Text(
        zh="银行正在处理，请勿重复申领。", en="The bank is processing your payment; please do not claim again."
    ),
    "partly_paid": Text(
        zh="已发放{yuan}元，其余满足发放条件后自动发放。",
        en="{yuan} yuan were paid; the rest will be paid automatically when it is due.",
    ),
    "paid": Text(zh="已发放{yuan}元。", en="{yuan} yuan were paid."),
    "failed": Text(
        zh="未能发放。如仍符合条件，请核对收款账户后重新申领。",
        en="It could not be paid. If you are still entitled, check your account and claim again.",
    ),
    "withdrawn": Text(zh="您已撤回本次申领。", en="You have withdrawn this claim."),
}


_NAME_DIFFERS = Text(
    zh="银行反馈：银行卡户名与您的实名不一致，请登记本人的银行卡。",
    en="The bank reports that the card is not in your name; please register a card of your own.",
)


def claim_stage(claim: Claim) -> ClaimStage:
    """Return the stage of a claim."""
    match claim.state:
        case "draft" | "claimed":
            return "claimed"
        case "waiting" | "failed" | "withdrawn":
            return claim.state
        case "granted":
            if claim.sum_fen("requested"):
                return "paying"
            if claim.sum_fen("open") == 0:
                return "paid"
            return "partly_paid" if claim.paid_fen else "granted"


def stage_message(claim: Claim) -> Text:
    """Return the message about the stage of a claim."""
    message = _MESSAGES[claim_stage(claim)].format(yuan=yuan(claim.paid_fen))
    return (
        Text(zh=message.zh + _NAME_DIFFERS.zh, en=f"{message.en} {_NAME_DIFFERS.en}") if claim.name_differs else message
    )


def clawback_details(claim: Claim, names: Mapping[str, Text]) -> ClawbackDetails | None:
    """Return the claw-back of a claim, if there is one; `names` are those of the facts."""
    clawback, audit = claim.clawback, claim.audit
    if clawback is None or audit is None:
        return None
    appeal = clawback.appeal
    outcome: Literal["none", "pending", "granted", "rejected"] = "none" if appeal is None else "pending"
    if appeal is not None and appeal.decision_upheld is not None:
        outcome = "rejected" if appeal.decision_upheld else "granted"
    return ClawbackDetails(
        amount_fen=clawback.amount_fen,
        owed_fen=claim.owed_fen,
        reduction_fen=claim.excess_fen,
        because=Text(
            zh="经核查，以下信息与主管部门记录不一致：" + "、".join(names[name].zh for name in audit.differing_facts),
            en="An audit found that these facts differ from the registries: "
            + ", ".join(names[name].en for name in audit.differing_facts),
        ),
        differing_facts=audit.differing_facts,
        notified_at=clawback.notified_at,
        appeal_until=clawback.appeal_until,
        collect_at=clawback.collect_at,
        appeal=outcome,
        decision=appeal.reason if appeal is not None else None,
    )


async def appeal_list(benefits: AnyBenefits, city: City, cursor: str | None) -> AppealList:
    """Return the pending appeals, the oldest first."""
    page = await city.store.find(benefits.claim, {}, order=Order("appealed_ms", at_least=0), cursor=cursor, limit=PAGE)
    listed = [
        AppealSummary(claim.id, claim.benefit, claim.title, clawback.amount_fen, claim.excess_fen, appeal.at)
        for claim in page.documents
        if (clawback := claim.clawback) is not None and (appeal := clawback.appeal) is not None
    ]
    return AppealList(listed, page.cursor)


async def budget_list(benefits: AnyBenefits, city: City) -> BudgetList:
    """Return this year's budgets of the benefits that are available now."""
    budgets: list[BudgetDetails] = []
    offers = benefits.offers(city)
    for benefit in offers.names():
        terms = offers.terms(benefit, city.now())
        if terms is None or terms.gives != "money":
            continue
        budget = await get_current_budget(benefits, city, benefit)
        budgets.append(
            BudgetDetails(
                benefit,
                offers.title(benefit),
                city.today().year,
                budget.limit_fen,
                budget.reserved_fen,
                budget.paid_fen,
                budget.returned_fen,
                budget.free_fen,
                budget.quota,
                budget.quota_used,
                await first_waiting(benefits, city, benefit) is not None,
            )
        )
    return BudgetList(budgets)
