"""What hospitals' words mean in the city's: the one mapping that FHIR and HL7 v2 share.

Pure: texts come in, Commands come out. What cannot be said in the city's words is Unmappable, which names the element
by a neutral name; each door then says where that stands in its own message.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Literal

from backend.i18n import Text
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.commands import (
    MAX_AMOUNT_FEN,
    Adjustment,
    Charge,
    Command,
    Credit,
    OpenVisit,
    PaidAtCounter,
)

Where = Literal[
    "visit",
    "patient",
    "class",
    "status",
    "opened_at",
    "closed_at",
    "estimate",
    "line",
    "of",
    "code",
    "title",
    "amount",
    "at",
    "transaction",
    "payment",
]
"""The elements of which something may be wrong."""

Fault = Literal["required", "value", "unknown"]
"""What is wrong: it is missing, it has not the form it must have, or it is a code that nobody here knows."""

ID_NUMBER_SYSTEM = "urn:oid:2.16.156.10011.1.3"
"""The resident identity card, as China's shared health documents name it (WS/T 500)."""

CLASSES: dict[str, VisitKind] = {
    "AMB": "outpatient",
    "SS": "outpatient",
    "HH": "outpatient",
    "VR": "outpatient",
    "O": "outpatient",
    "R": "outpatient",
    "EMER": "emergency",
    "E": "emergency",
    "IMP": "inpatient",
    "ACUTE": "inpatient",
    "NONAC": "inpatient",
    "I": "inpatient",
    "B": "inpatient",
}
"""Kinds of visits by HL7 table 0004 (PV1-2) and v3 ActCode (Encounter.class). What is only planned is no visit yet."""

ACT_CODES: dict[VisitKind, tuple[str, str]] = {
    "outpatient": ("AMB", "ambulatory"),
    "emergency": ("EMER", "emergency"),
    "inpatient": ("IMP", "inpatient encounter"),
}
"""The v3 ActCode of each kind of visit, and how it is displayed."""

Transaction = Literal["charge", "credit", "adjustment", "payment"]
TRANSACTIONS: dict[str, Transaction] = {"CG": "charge", "CD": "credit", "AJ": "adjustment", "PY": "payment"}
"""HL7 table 0017 (FT1-6)."""

FIRST_YEAR, LAST_YEAR = 2000, 2100
_YUAN = re.compile(r"([+-]?)([0-9]{1,10})(?:\.([0-9]{1,2}))?", re.ASCII)
_QUANTITY = re.compile(r"[0-9]{1,7}(?:\.[0-9]{1,4})?", re.ASCII)
_NAME = re.compile(r"[^\s|^~\\&]{1,64}")
_MAX_TITLE = 200
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?",
    re.ASCII,
)


class Unmappable(Exception):
    """Something that a hospital said has no place here: at which element, what is wrong with it, and words.

    The words never repeat the value, which may be personal.
    """

    def __init__(self, where: Where, fault: Fault, text: Text) -> None:
        super().__init__(f"{where}: {text.en}")
        self.where: Where = where
        self.fault: Fault = fault
        self.text = text


def missing(where: Where) -> Unmappable:
    """Say that an element is missing."""
    return Unmappable(where, "required", Text(zh="缺少必填内容。", en="This is required."))


def fen_of(text: str | int | Decimal | None, where: Where = "amount") -> int:
    """Give an amount in yuan, with at most two decimal places, in fen. Raises Unmappable.

    A third place is an error even where it is a zero: nobody here rounds. So are exponents, and what exceeds a hundred
    million yuan.
    """
    if text is None or text == "":
        raise missing(where)
    found = _YUAN.fullmatch(str(text))
    if found is None:
        raise _wrong_amount(where)
    sign, yuan, fen = found.groups()
    amount_fen = int(yuan) * 100 + int((fen or "").ljust(2, "0"))
    if amount_fen > MAX_AMOUNT_FEN:
        raise _wrong_amount(where)
    return -amount_fen if sign == "-" else amount_fen


def _wrong_amount(where: Where) -> Unmappable:
    return Unmappable(
        where,
        "value",
        Text(
            zh="金额须以元为单位，至多两位小数，不超过一亿元。",
            en="An amount is in yuan with at most two decimal places, and a hundred million at most.",
        ),
    )


def positive_fen_of(text: str | int | Decimal | None, where: Where = "amount") -> int:
    """Give an amount above zero. Raises Unmappable."""
    amount_fen = fen_of(text, where)
    if amount_fen <= 0:
        raise Unmappable(where, "value", Text(zh="金额须大于零。", en="The amount must be above zero."))
    return amount_fen


def yuan_of(amount_fen: int) -> Decimal:
    """Give fen in yuan, with both decimal places."""
    return Decimal(amount_fen).scaleb(-2)


def name_of(text: str | None, where: Where) -> str:
    """Give what a hospital names a visit, a line, a code or a payment. Raises Unmappable."""
    if text is None or not text.strip():
        raise missing(where)
    if not _NAME.fullmatch(text) or not text.isprintable():
        raise Unmappable(
            where,
            "value",
            Text(
                zh="标识至多64个字符，不含空格和 | ^ ~ \\ &。",
                en="A name has at most 64 characters, no spaces or |^~\\&.",
            ),
        )
    return text


def title_of(text: str | None) -> str:
    """Give what people read of a line. Raises Unmappable."""
    plain = (text or "").strip()
    if len(plain) > _MAX_TITLE:
        raise Unmappable("title", "value", Text(zh="名称过长。", en=f"A title has {_MAX_TITLE} characters at most."))
    return plain


def id_number_of(text: str | None) -> str:
    """Give a resident ID number as it was sent; whether it can have been issued is judged where people are found."""
    if text is None or not text.strip():
        raise missing("patient")
    return text.strip().upper()


def kind_of(code: str | None) -> VisitKind:
    """Give the kind of visit that a class names, in either table. Raises Unmappable."""
    if not code:
        raise missing("class")
    kind = CLASSES.get(code)
    if kind is None:
        raise Unmappable("class", "unknown", Text(zh="未知的就诊类别。", en="This class of visit is not known here."))
    return kind


def instant_of(text: str | None, zone: tzinfo, where: Where) -> datetime:
    """Give the instant of an ISO 8601 date or date and time, those without an offset in `zone`. Raises Unmappable."""
    if not text:
        raise missing(where)
    if not _INSTANT.fullmatch(text):
        raise _wrong_instant(where)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:  # there is no 31 April
        raise _wrong_instant(where) from None
    return settled_instant(at if at.tzinfo else at.replace(tzinfo=zone), where)


def settled_instant(at: datetime, where: Where) -> datetime:
    """Give an instant as the city keeps it: in UTC, to the millisecond. Raises Unmappable for one of another age."""
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise _wrong_instant(where)
    return (at - timedelta(microseconds=at.microsecond % 1_000)).astimezone(UTC)


def _wrong_instant(where: Where) -> Unmappable:
    return Unmappable(
        where, "value", Text(zh="不是有效的日期时间。", en="This is no date and time between 2000 and 2100.")
    )


# ── commands ──


def open_visit(
    id_number: str | None, class_: str | None, opened_at: datetime, estimate: str | int | Decimal | None = None
) -> OpenVisit:
    """A person comes to the hospital. Raises Unmappable."""
    estimate_fen = None if estimate is None else positive_fen_of(estimate, "estimate")
    return OpenVisit(id_number_of(id_number), kind_of(class_), opened_at, estimate_fen)


def charge(
    line: str | None, code: str | None, title: str | None, amount: str | int | Decimal | None, at: datetime
) -> Charge:
    """Something has its price (FT1-6 CG). Raises Unmappable."""
    return Charge(name_of(line, "line"), name_of(code, "code"), title_of(title), positive_fen_of(amount), at)


def credit(
    line: str | None, of: str | None, amount: str | int | Decimal | None, at: datetime, title: str | None = None
) -> Credit:
    """A charge is taken back, all or in part (FT1-6 CD); some write the amount below zero. Raises Unmappable."""
    amount_fen = abs(fen_of(amount))
    if amount_fen == 0:
        raise Unmappable("amount", "value", Text(zh="退费金额不能为零。", en="A credit is of some amount."))
    return Credit(name_of(line, "line"), name_of(of, "of"), amount_fen, at, title_of(title))


def adjustment(
    line: str | None, of: str | None, amount: str | int | Decimal | None, at: datetime, title: str | None = None
) -> Adjustment:
    """A charge is corrected by a difference, up or down (FT1-6 AJ). Raises Unmappable."""
    return Adjustment(name_of(line, "line"), name_of(of, "of"), fen_of(amount), at, title_of(title))


def paid_at_counter(payment: str | None, amount: str | int | Decimal | None, at: datetime) -> PaidAtCounter:
    """The patient paid at the hospital (FT1-6 PY); some write payments below zero. Raises Unmappable."""
    amount_fen = abs(fen_of(amount))
    if amount_fen == 0:
        raise Unmappable("amount", "value", Text(zh="付款金额不能为零。", en="A payment is of some amount."))
    return PaidAtCounter(name_of(payment, "payment"), amount_fen, at)


def transaction(
    kind: str | None,
    line: str | None,
    of: str | None,
    code: str | None,
    title: str | None,
    amount: str | int | Decimal | None,
    at: datetime,
) -> Command:
    """Give what a financial transaction of this kind (FT1-6) means; payments have no code. Raises Unmappable."""
    if not kind:
        raise missing("transaction")
    match TRANSACTIONS.get(kind):
        case "charge":
            return charge(line, code, title, amount, at)
        case "credit":
            return credit(line, of, amount, at, title)
        case "adjustment":
            return adjustment(line, of, amount, at, title)
        case "payment":
            return paid_at_counter(line, amount, at)
        case _:
            raise Unmappable(
                "transaction", "unknown", Text(zh="未知的交易类型。", en="This transaction type is not known.")
            )


def is_amount(text: str) -> bool:
    """Tell whether a text is an amount in yuan with at most two decimal places."""
    return _YUAN.fullmatch(text) is not None


def is_quantity(text: str) -> bool:
    """Tell whether a text is a quantity above zero, with at most four decimal places."""
    return _QUANTITY.fullmatch(text) is not None and float(text) > 0
