"""What talents are told, in words that fit on a phone's lock screen: no figures of income, no reasons of others."""

from backend.i18n import Text, yuan
from backend.services.talent_code.model import claim as claims
from backend.services.talent_code.model import talent as talents

_OF_CLASSES: dict[talents.Told, Text] = {
    "granted": Text(zh="您已获认定为{letter}类人才。", en="You were granted talent class {letter}."),
    "upgraded": Text(zh="您的人才类别已升为{letter}类。", en="Your talent class is now {letter}."),
    "renewed": Text(zh="您的{letter}类人才认定已续期。", en="Your talent class {letter} was renewed."),
    "withdrawn": Text(
        zh="您的{letter}类人才认定已撤销，请在人才码中查看原因。",
        en="Your talent class {letter} was withdrawn; your talent code says why.",
    ),
    "lapsed": Text(zh="您的{letter}类人才认定已到期。", en="Your talent class {letter} has ended."),
    "refuted": Text(
        zh="您申报的一项材料与登记不符，请核对后重新申报。",
        en="A registry does not confirm something that you declared; check it and declare it again.",
    ),
    "unconfirmed": Text(
        zh="您申报的一项材料暂未得到核实，可重新申报。",
        en="Something that you declared could not be confirmed yet; you may declare it again.",
    ),
}

_OF_CLAIMS: dict[claims.Told, Text] = {
    "waiting": Text(
        zh="本年度预算已用完，您的{title}申领已排队，有余额即自动发放。",
        en="This year's budget is used up; your claim waits in line and is paid as soon as it can be: {title}.",
    ),
    "paid": Text(zh="{title}{yuan}元已发放到您的账户。", en="{yuan} yuan were paid to your account: {title}."),
    "failed": Text(
        zh="{title}未能发放，请核对收款账户后重新申领。",
        en="The bank could not pay; check your account and claim again: {title}.",
    ),
    "payout_failed": Text(
        zh="{title}{yuan}元暂未到账，请核对收款账户，明日自动重试。",
        en="The bank could not pay {yuan} yuan; check your account, we try again tomorrow: {title}.",
    ),
    "stopped": Text(zh="{title}的后续款项不再发放。", en="No more will be paid: {title}."),
    "reduced": Text(
        zh="经核查，{title}尚未发放的款项减少{yuan}元。",
        en="An audit found that {yuan} yuan of what was still to come are not due: {title}.",
    ),
    "to_be_reduced": Text(
        zh="经核查，{title}尚未发放的款项将减少{yuan}元，请查看原因；您可以申诉。",
        en="{yuan} yuan of what is still to come are not due; see why, and appeal if it is wrong: {title}.",
    ),
    "clawed_back": Text(
        zh="经核查，{title}多发{yuan}元，请查看原因；您可以申诉。",
        en="{yuan} yuan are to be paid back; see why, and appeal if it is wrong: {title}.",
    ),
    "appeal_upheld": Text(
        zh="您的申诉未获支持，请退还{yuan}元。", en="Your appeal was not granted; please pay back {yuan} yuan."
    ),
    "appeal_won": Text(zh="您的申诉成立，无需退还{yuan}元。", en="Your appeal was granted; you keep the {yuan} yuan."),
    "reduction_upheld": Text(
        zh="您的申诉未获支持，{title}尚未发放的款项将减少。",
        en="Your appeal was not granted; less will be paid: {title}.",
    ),
    "reduction_dropped": Text(
        zh="您的申诉成立，{title}的款项照常发放。", en="Your appeal was granted; all of it will be paid: {title}."
    ),
    "returned": Text(zh="已收到您退还的{yuan}元。", en="The {yuan} yuan that you paid back were received."),
}


def talent_notice(notice: talents.Notice) -> Text:
    """Give the words of a notice about a class or evidence."""
    words, letter = _OF_CLASSES[notice.kind], notice.talent_class.upper()
    return Text(zh=words.zh.format(letter=letter), en=words.en.format(letter=letter))


def claim_notice(notice: claims.Notice, title: Text) -> Text:
    """Give the words of a notice about a claim."""
    words, sum_ = _OF_CLAIMS[notice.kind], yuan(notice.amount_fen)
    return Text(zh=words.zh.format(title=title.zh, yuan=sum_), en=words.en.format(title=title.en, yuan=sum_))
