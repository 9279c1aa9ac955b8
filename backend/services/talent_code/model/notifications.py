"""Texts of notifications, short enough for a phone's lock screen; they contain no income and no reasons of others."""

from zoneinfo import ZoneInfo

from backend.i18n import Text, date_text
from backend.services.talent_code.facts import Degree, Pay, Post, Prize, Title
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
    "card_named": Text(
        zh="您已登记尾号{ending}的收款银行卡。如非本人操作，请拨打12345。",
        en="You registered the bank card ending in {ending}. If it was not you, call 12345.",
    ),
    "card_changed": Text(
        zh="收款银行卡已变更为尾号{ending}的卡。如非本人操作，请拨打12345。",
        en="Payments now go to the card ending in {ending}. If it was not you, call 12345.",
    ),
}

_CARD_WAITS = Text(zh="{date}起发放。", en=" Paid from {date}.")

_QUALIFICATIONS: dict[type, Text] = {
    Degree: Text(zh="学位", en="degree"),
    Title: Text(zh="称号或职称", en="title"),
    Prize: Text(zh="奖项", en="prize"),
    Post: Text(zh="职务", en="post"),
    Pay: Text(zh="年收入", en="income"),
}
_QUALIFICATION = Text(zh="一项信息", en="qualification")


def talent_message(notification: TalentNotification, talent: Talent, registry_days: int, zone: ZoneInfo) -> Text:
    """Return the text of a notification about a class, evidence or the bank card."""
    found = next((one for one in talent.evidence if one.id == notification.evidence), None)
    item = _QUALIFICATIONS[type(found.qualification)] if found is not None else _QUALIFICATION
    letter = notification.talent_class.upper()
    ending = talent.account_ending or ""
    text = _TALENT_MESSAGES[notification.kind].format(letter=letter, item=item, days=f"{registry_days}", ending=ending)
    if notification.kind not in ("card_named", "card_changed") or talent.payable_from is None:
        return text
    waits = _CARD_WAITS.format(date=date_text(talent.payable_from, zone))
    return Text(zh=text.zh + waits.zh, en=text.en + waits.en)
