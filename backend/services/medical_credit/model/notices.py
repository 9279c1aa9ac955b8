"""The texts of notifications to patients: short enough for a phone's lock screen, without hospital or treatment."""

from backend.i18n import Text
from backend.paylater.bill import BillTexts

BILL_TEXTS = BillTexts(
    notices={
        "bill": Text(zh="您的就医账单已生成，应付{yuan}元。", en="Your bill is ready: {yuan} yuan."),
        "paid_at_counter": Text(
            zh="医院报告您已在窗口支付{yuan}元，本次账单无需再付。",
            en="The hospital reports that you paid {yuan} yuan at its counter; this bill is settled.",
        ),
        "overpaid_at_counter": Text(
            zh="您在医院窗口多付了{yuan}元，请持票据到窗口退款。",
            en="You paid {yuan} yuan too much at the hospital's counter; bring your receipt there for a refund.",
        ),
        "reminder": Text(
            zh="您有{yuan}元就医账单已到期，请今天支付，以免先看病后付费被暂停。",
            en="Your bill of {yuan} yuan is due. Pay it today to keep pay later available.",
        ),
        "debit_failed": Text(
            zh="自动扣款{yuan}元未成功，请检查银行卡余额，并自行支付。",
            en="The automatic debit of {yuan} yuan failed. Check your card's balance and pay the bill yourself.",
        ),
        "suspended": Text(
            zh="您有{yuan}元账单逾期，先看病后付费已暂停；付清后即恢复，急诊不受影响。",
            en="{yuan} yuan are overdue, so paying later is suspended until you pay. Emergency care is not affected.",
        ),
        "restored": Text(
            zh="已收到付款{yuan}元，先看病后付费已恢复。", en="We received {yuan} yuan; you can pay later again."
        ),
        "refunded": Text(
            zh="{yuan}元已原路退回，请留意原支付账户。", en="{yuan} yuan were refunded to the original account."
        ),
        "cancelled": Text(
            zh="您的一次就诊已取消，账单同时作废；已付款项将原路退回。",
            en="A visit was cancelled together with its bill; payments will be refunded.",
        ),
    },
    bill_by=Text(
        zh="您的就医账单已生成，应付{yuan}元，请在{at}前支付。",
        en="Your bill is ready: {yuan} yuan. Please pay by {at}.",
    ),
    bill_by_debit=Text(
        zh="您的就医账单已生成，应付{yuan}元，将于{at}自动扣款；您也可以提前支付。",
        en="Your bill is ready: {yuan} yuan. It will be debited on {at}; you can also pay earlier.",
    ),
    instalments_by=Text(
        zh="您的就医账单已生成，应付{yuan}元，分{count}期支付；请在{at}前支付首期{first}元。",
        en="Your bill is ready: {yuan} yuan in {count} parts. Please pay the first, {first} yuan, by {at}.",
    ),
    instalments_by_debit=Text(
        zh="您的就医账单已生成，应付{yuan}元，分{count}期支付；首期{first}元将于{at}自动扣款。",
        en="Your bill is ready: {yuan} yuan in {count} parts. The first, {first} yuan, will be debited on {at}.",
    ),
    debit_retried=Text(
        zh="自动扣款{yuan}元未成功，请检查银行卡余额，或自行支付；{at}将再次扣款。",
        en="The automatic debit of {yuan} yuan failed. Check your card's balance or pay yourself; "
        "it is retried on {at}.",
    ),
    nothing_to_pay=Text(zh="该就诊目前没有应付账单。", en="This visit has nothing to pay now."),
)

EMERGENCY_ACCESS = Text(
    zh="一家未经您授权的医院因急诊使用了您的先看病后付费，请核对；如有疑问请拨打12345。",
    en="A hospital that you had not allowed used your pay later in an emergency. Check it; if it is wrong, call 12345.",
)
"""Sent once a day for each hospital."""
