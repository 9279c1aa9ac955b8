"""What patients are told about their bills, in words that fit on a phone's lock screen: no hospital, no treatment."""

from backend.i18n import Text, yuan
from backend.services.medical_credit.model.visit import Notice, NoticeKind

_WORDS: dict[NoticeKind, Text] = {
    "bill": Text(
        zh="您的就医账单已出，应付{yuan}元，请在到期前支付。",
        en="Your bill is ready: {yuan} yuan; please pay before it is due.",
    ),
    "reminder": Text(
        zh="您有{yuan}元就医账单已到期，请尽快支付。", en="Your bill of {yuan} yuan is due; please pay it soon."
    ),
    "debit_failed": Text(
        zh="自动扣款{yuan}元未成功，请检查银行卡或手动支付。",
        en="The automatic debit of {yuan} yuan failed; check your card or pay yourself.",
    ),
    "suspended": Text(
        zh="账单{yuan}元逾期，先看病后付费已暂停；付清后即恢复，急诊不受影响。",
        en="{yuan} yuan are overdue and paying later is suspended; it is restored when you pay. Emergencies are not.",
    ),
    "restored": Text(
        zh="已收到{yuan}元，先看病后付费已恢复。", en="{yuan} yuan were received; you may pay later again."
    ),
    "refunded": Text(zh="{yuan}元已原路退回。", en="{yuan} yuan were returned to where they came from."),
    "cancelled": Text(zh="一次就诊已取消，账单作废。", en="A visit was cancelled, and its bill with it."),
}


def notice_text(notice: Notice) -> Text:
    """Give the words of a notice."""
    words, sum_ = _WORDS[notice.kind], yuan(notice.amount_fen)
    return Text(zh=words.zh.format(yuan=sum_), en=words.en.format(yuan=sum_))
