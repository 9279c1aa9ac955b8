"""Texts of notifications about claims, short enough for a phone's lock screen, and the step that sends them."""

from datetime import datetime

from msgspec.structs import replace

from backend.benefits.claim import C, ClaimNotificationKind
from backend.benefits.service import AnyBenefits
from backend.city.notices import notify
from backend.city.service import City
from backend.i18n import Text, date_text, yuan

_MESSAGES: dict[ClaimNotificationKind, Text] = {
    "waiting": Text(
        zh="本年度预算已用完，您的{title}申领已进入排队，有预算后自动发放，无需再次申领。",
        en="This year's budget is used up. Your claim is on the waiting list and will be paid automatically when funds "
        "are available: {title}.",
    ),
    "paid": Text(zh="{title}{yuan}元已发放到您的账户。", en="{yuan} yuan were paid to your account: {title}."),
    "failed": Text(
        zh="{title}未能发放，请核对收款账户后重新申领。",
        en="The payment failed. Please check your account and claim again: {title}.",
    ),
    "payout_failed": Text(
        zh="{title}{yuan}元未能发放，请核对收款账户，明日自动重试。",
        en="The payment of {yuan} yuan failed. Please check your account; it is retried tomorrow: {title}.",
    ),
    "name_differs": Text(
        zh="{title}{yuan}元未能发放：银行卡户名与您的实名不一致，请登记本人的银行卡。",
        en="The payment of {yuan} yuan failed because the bank card is not in your name. Please register your own "
        "card: {title}.",
    ),
    "cancelled": Text(zh="{title}的后续款项不再发放。", en="The remaining payments will not be made: {title}."),
    "reduced": Text(
        zh="经核查，{title}尚未发放的款项减少{yuan}元。",
        en="After an audit, the remaining payments are reduced by {yuan} yuan: {title}.",
    ),
    "reduction_announced": Text(
        zh="经核查，{title}尚未发放的款项将减少{yuan}元。如有异议，请在{appeal_until}前申诉。详见{shown_in}。",
        en="After an audit, the remaining payments will be reduced by {yuan} yuan: {title}. If you disagree, appeal by "
        "{appeal_until}. See {shown_in}.",
    ),
    "clawed_back": Text(
        zh="经核查，您的{title}多发了{yuan}元。如有异议，请在{appeal_until}前申诉；无异议的，请在{collect_at}前退还。"
        "详见{shown_in}。",
        en="After an audit, you were paid {yuan} yuan too much: {title}. If you disagree, appeal by {appeal_until}; "
        "otherwise pay it back by {collect_at}. See {shown_in}.",
    ),
    "appeal_rejected": Text(
        zh="您的申诉未获支持，请在{collect_at}前退还{yuan}元；逾期将从您的收款账户扣回。理由见{shown_in}。",
        en="Your appeal was rejected. Please pay back {yuan} yuan by {collect_at}; after that it is debited from your "
        "account. See the reason in {shown_in}.",
    ),
    "appeal_granted": Text(
        zh="您的申诉成立，无需退还{yuan}元。", en="Your appeal was granted. You need not pay back the {yuan} yuan."
    ),
    "reduction_confirmed": Text(
        zh="您的申诉未获支持，{title}尚未发放的款项将减少。理由见{shown_in}。",
        en="Your appeal was rejected, and the remaining payments will be reduced: {title}. See the reason in "
        "{shown_in}.",
    ),
    "reduction_cancelled": Text(
        zh="您的申诉成立，{title}的款项照常发放。",
        en="Your appeal was granted. The payments will not be reduced: {title}.",
    ),
    "repayment_received": Text(zh="已收到您退还的{yuan}元。", en="Your repayment of {yuan} yuan was received."),
}


async def send_notification(benefits: AnyBenefits, city: City, claim: C, _now: datetime) -> C:
    """Send the oldest notification, with local deadlines, once, however often the step is repeated.

    It may be sent before it is stored, while another process stores other news of the claim. Therefore its number
    counts those of its kind.
    """
    place, notification = next((place, one) for place, one in enumerate(claim.notifications) if not one.sent)
    kind = notification.kind
    number = sum(one.kind == kind for one in claim.notifications[:place])
    texts = {"title": claim.title, "shown_in": benefits.shown_in}
    if claim.clawback is not None:
        zone = city.rulebook.time_zone
        texts["appeal_until"] = date_text(claim.clawback.appeal_until, zone)
        texts["collect_at"] = date_text(claim.clawback.collect_at, zone)
    message = _MESSAGES[kind].format(yuan=yuan(notification.amount_fen), **texts)
    recipient = claim.contact or claim.subject
    await notify(city, recipient, f"{claim.collection}/{claim.id}/{kind}/{number}", message)
    notifications = tuple(replace(one, sent=True) if one is notification else one for one in claim.notifications)
    return replace(claim, notifications=notifications, failures=0)
