"""Texts of notifications, short enough for a phone's lock screen; they contain no income and no reasons of others."""

from zoneinfo import ZoneInfo

from backend.i18n import Text, yuan
from backend.services.talent_code.facts import Degree, Pay, Post, Prize, Title
from backend.services.talent_code.model.claim import Claim, ClaimNotification, ClaimNotificationKind
from backend.services.talent_code.model.dates import date_text
from backend.services.talent_code.model.talent import Talent, TalentNotification, TalentNotificationKind

_TALENT_MESSAGES: dict[TalentNotificationKind, Text] = {
    "granted": Text(zh="您已获认定为{letter}类人才。", en="You were granted talent class {letter}."),
    "upgraded": Text(zh="您的人才类别已升为{letter}类。", en="Your talent class is now {letter}."),
    "renewed": Text(zh="您的{letter}类人才认定已续期。", en="Your talent class {letter} was renewed."),
    "withdrawn": Text(
        zh="您的{letter}类人才认定已撤销，请在人才码中查看原因。",
        en="Your talent class {letter} was withdrawn. See the reason in your talent code.",
    ),
    "lapsed": Text(
        zh="您的{letter}类人才认定已到期，相关服务已停止。仍符合条件的，请重新申报。",
        en="Your talent class {letter} has expired, and its services have ended. If you still qualify, declare again.",
    ),
    "refuted": Text(
        zh="您申报的“{item}”与主管部门的记录不一致，请核对后重新申报。",
        en="The registry does not confirm your declared {item}. Please check it and declare it again.",
    ),
    "unconfirmed": Text(
        zh="您申报的“{item}”{days}天内未能核实，请核对后重新申报。",
        en="Your declared {item} could not be confirmed within {days} days. Please check it and declare it again.",
    ),
}

_QUALIFICATIONS: dict[type, Text] = {
    Degree: Text(zh="学位", en="degree"),
    Title: Text(zh="称号或职称", en="title"),
    Prize: Text(zh="奖项", en="prize"),
    Post: Text(zh="职务", en="post"),
    Pay: Text(zh="年收入", en="income"),
}
_QUALIFICATION = Text(zh="一项信息", en="qualification")

_CLAIM_MESSAGES: dict[ClaimNotificationKind, Text] = {
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
    "cancelled": Text(zh="{title}的后续款项不再发放。", en="The remaining payments will not be made: {title}."),
    "reduced": Text(
        zh="经核查，{title}尚未发放的款项减少{yuan}元。",
        en="After an audit, the remaining payments are reduced by {yuan} yuan: {title}.",
    ),
    "reduction_announced": Text(
        zh="经核查，{title}尚未发放的款项将减少{yuan}元。如有异议，请在{appeal_until}前申诉。详见人才码。",
        en="After an audit, the remaining payments will be reduced by {yuan} yuan: {title}. If you disagree, appeal by "
        "{appeal_until}. See your talent code.",
    ),
    "clawed_back": Text(
        zh="经核查，您的{title}多发了{yuan}元。如有异议，请在{appeal_until}前申诉；无异议的，请在{collect_at}前退还。"
        "详见人才码。",
        en="After an audit, you were paid {yuan} yuan too much: {title}. If you disagree, appeal by {appeal_until}; "
        "otherwise pay it back by {collect_at}. See your talent code.",
    ),
    "appeal_rejected": Text(
        zh="您的申诉未获支持，请在{collect_at}前退还{yuan}元；逾期将从您的收款账户扣回。理由见人才码。",
        en="Your appeal was rejected. Please pay back {yuan} yuan by {collect_at}; after that it is debited from your "
        "account. See the reason in your talent code.",
    ),
    "appeal_granted": Text(
        zh="您的申诉成立，无需退还{yuan}元。", en="Your appeal was granted. You need not pay back the {yuan} yuan."
    ),
    "reduction_confirmed": Text(
        zh="您的申诉未获支持，{title}尚未发放的款项将减少。理由见人才码。",
        en="Your appeal was rejected, and the remaining payments will be reduced: {title}. See the reason in your "
        "talent code.",
    ),
    "reduction_cancelled": Text(
        zh="您的申诉成立，{title}的款项照常发放。",
        en="Your appeal was granted. The payments will not be reduced: {title}.",
    ),
    "repayment_received": Text(zh="已收到您退还的{yuan}元。", en="Your repayment of {yuan} yuan was received."),
}


def talent_message(notification: TalentNotification, talent: Talent, registry_days: int) -> Text:
    """Return the text of a notification about a class or evidence."""
    found = next((one for one in talent.evidence if one.id == notification.evidence), None)
    item = _QUALIFICATIONS[type(found.qualification)] if found is not None else _QUALIFICATION
    letter = notification.talent_class.upper()
    words = _TALENT_MESSAGES[notification.kind]
    return Text(
        zh=words.zh.format(letter=letter, item=item.zh, days=registry_days),
        en=words.en.format(letter=letter, item=item.en, days=registry_days),
    )


def claim_message(notification: ClaimNotification, claim: Claim, zone: ZoneInfo) -> Text:
    """Return the text of a notification about a claim, with its deadlines in local time."""
    clawback = claim.clawback
    appeal_until = date_text(clawback.appeal_until, zone) if clawback is not None else Text("", "")
    collect_at = date_text(clawback.collect_at, zone) if clawback is not None else Text("", "")
    words, amount = _CLAIM_MESSAGES[notification.kind], yuan(notification.amount_fen)
    return Text(
        zh=words.zh.format(title=claim.title.zh, yuan=amount, appeal_until=appeal_until.zh, collect_at=collect_at.zh),
        en=words.en.format(title=claim.title.en, yuan=amount, appeal_until=appeal_until.en, collect_at=collect_at.en),
    )
