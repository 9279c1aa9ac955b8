"""Map the hospitals' terms to the city's: one mapping that FHIR and HL7 v2 share.

Pure: strings come in, commands come out. A value that cannot be mapped raises Unmappable, which names the element by a
neutral name; each interface then reports the place of that element in its own message.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Literal

from backend.city.id_number import RESIDENT_CARD, DocumentKind, IdentityDocument
from backend.i18n import Text
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.commands import (
    MAX_AMOUNT_FEN,
    Command,
    OpenVisit,
    WithdrawCounterPayment,
)
from backend.services.medical_credit.model.desk_token import PatientKeys
from backend.services.medical_credit.model.visit import CounterPayment, Line

Element = Literal[
    "visit",
    "patient",
    "class",
    "status",
    "opened_at",
    "closed_at",
    "estimate",
    "line",
    "original_line",
    "code",
    "title",
    "amount",
    "occurred_at",
    "transaction",
    "payment",
    "settlement_kind",
    "settlement",
    "registration",
    "settled_at",
    "medical_fee",
    "fund",
    "hospital_part",
    "account",
    "family_account",
    "cash",
    "person_part",
]
"""The elements that can have a fault."""

Fault = Literal["required", "value", "unknown"]
"""A required element is missing, its value has the wrong form, or its code is unknown."""

ID_NUMBER_SYSTEM = "urn:oid:2.16.156.10011.1.3"
"""The resident identity card in China's shared health documents (WS/T 500)."""

DOCUMENT_TYPES: dict[str, DocumentKind] = {
    "NI": "resident_identity_card",
    "NN": "resident_identity_card",
    "NNCHN": "resident_identity_card",
    "PRC": "permanent_residence_card",
    "PPN": "passport",
    "03": "passport",
    "06": "hong_kong_macao_travel_permit",
    "07": "taiwan_travel_permit",
}
"""Kinds of documents by HL7 table 0203 (CX-5, Identifier.type), and by CV02.01.101 (WS 364.3)."""

DESK_TYPE = "DESK"
"""The type (CX-5) of a repetition of PID-3 that holds a desk token."""

DESK_SYSTEM = "urn:chengma:desk-token"
"""The identifier system of desk tokens."""

PASSPORT_SYSTEM = "http://hl7.org/fhir/sid/passport-"
"""The identifier system of passports, followed by the three letters of the country."""

VISIT_KINDS: dict[str, VisitKind] = {
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
"""Kinds of visits by HL7 table 0004 (PV1-2) and v3 ActCode (Encounter.class). Planned visits are not mapped."""

ACT_CODES: dict[VisitKind, tuple[str, str]] = {
    "outpatient": ("AMB", "ambulatory"),
    "emergency": ("EMER", "emergency"),
    "inpatient": ("IMP", "inpatient encounter"),
}
"""The v3 ActCode of each kind of visit, with its display text."""

Transaction = Literal["charge", "credit", "adjustment", "payment"]
TRANSACTIONS: dict[str, Transaction] = {"CG": "charge", "CD": "credit", "AJ": "adjustment", "PY": "payment"}
"""HL7 table 0017 (FT1-6)."""

MAX_SYSTEM = 200
"""The most characters of the system of an identifier."""
MIN_YEAR, MAX_YEAR = 2000, 2100
_YUAN = re.compile(r"([+-]?)([0-9]{1,10})(?:\.(?=[0-9])([0-9]{0,9}?)0*)?", re.ASCII)
_JSON_YUAN = re.compile(rf"{_YUAN.pattern}(?:E([+-]?[0-9]{{1,3}}))?", re.ASCII)
"""A number of JSON may have an exponent; the text of a Decimal writes it with a capital E."""
_IDENTIFIER = re.compile(r"[^\s|^~\\&]{1,64}")
_MAX_TITLE = 200
_MAX_TOKEN = 64
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?",
    re.ASCII,
)


class Unmappable(Exception):
    """A value that cannot be mapped: its element, the fault, and a text.

    The text never repeats the value, which may be personal.
    """

    def __init__(self, element: Element, fault: Fault, text: Text) -> None:
        super().__init__(f"{element}: {text.en}")
        self.element: Element = element
        self.fault: Fault = fault
        self.text = text


def missing_element(element: Element) -> Unmappable:
    """Return the error for a missing element."""
    return Unmappable(element, "required", Text(zh="请补充此项必填内容。", en="This element is required."))


def fen_from_yuan(text: str | int | Decimal | None, element: Element = "amount") -> int:
    """Return an amount in yuan in fen. Raises Unmappable.

    Nothing is rounded: a third decimal place is an error unless it is zero. So are amounts above a hundred million
    yuan, and exponents in texts; a JSON number may have one.
    """
    if text is None or text == "":
        raise missing_element(element)
    found = (_YUAN if isinstance(text, str) else _JSON_YUAN).fullmatch(str(text))
    if found is None:
        raise _invalid_amount(element)
    sign, yuan, decimals, *exponent = found.groups(default="")
    scale = 2 - len(decimals) + int("".join(exponent) or 0)
    amount_fen, rest = divmod(int(yuan + decimals) * 10 ** max(scale, 0), 10 ** max(-scale, 0))
    if rest or amount_fen > MAX_AMOUNT_FEN:
        raise _invalid_amount(element)
    return -amount_fen if sign == "-" else amount_fen


def _invalid_amount(element: Element) -> Unmappable:
    return Unmappable(
        element,
        "value",
        Text(
            zh="金额须以元为单位，最多两位小数，不超过1亿元（含）。",
            en="The amount must be in yuan, with at most two decimal places, and not above a hundred million.",
        ),
    )


def positive_fen_from_yuan(text: str | int | Decimal | None, element: Element = "amount") -> int:
    """Return an amount above zero in fen. Raises Unmappable."""
    amount_fen = fen_from_yuan(text, element)
    if amount_fen <= 0:
        raise Unmappable(element, "value", Text(zh="金额须大于零。", en="The amount must be above zero."))
    return amount_fen


def yuan_from_fen(amount_fen: int) -> Decimal:
    """Return fen in yuan, with both decimal places."""
    return Decimal(amount_fen).scaleb(-2)


def parse_identifier(text: str | None, element: Element) -> str:
    """Return a hospital's identifier of a visit, line, code or payment. Raises Unmappable."""
    if text is None or not text.strip():
        raise missing_element(element)
    if not _IDENTIFIER.fullmatch(text) or not text.isprintable():
        raise Unmappable(
            element,
            "value",
            Text(
                zh="标识最多64个字符，不能含空格和|^~\\&。",
                en="An identifier has at most 64 characters, without spaces or |^~\\&.",
            ),
        )
    return text


def parse_title(text: str | None) -> str:
    """Return the title of a line, as people read it. Raises Unmappable."""
    stripped = (text or "").strip()
    if len(stripped) > _MAX_TITLE:
        raise Unmappable(
            "title",
            "value",
            Text(zh=f"名称最多{_MAX_TITLE}个字符。", en=f"A title has at most {_MAX_TITLE} characters."),
        )
    return stripped


def kind_of_system(system: object) -> DocumentKind | None:
    """Return the kind of document of an identifier system; without one it is a resident identity card."""
    if system in (None, "", ID_NUMBER_SYSTEM):
        return RESIDENT_CARD
    return "passport" if str(system).startswith(PASSPORT_SYSTEM) else None


def require_keys(documents: Iterable[IdentityDocument], desk_token: str | None) -> PatientKeys:
    """Return what identifies the patient: a document, a desk token, or both. Raises Unmappable without either."""
    found, token = list(documents), (desk_token or "").strip()
    if not token:
        return PatientKeys(require_document(found))
    return PatientKeys(
        require_document(found) if any(one.number.strip() for one in found) else None, token[:_MAX_TOKEN]
    )


def require_document(documents: Iterable[IdentityDocument]) -> IdentityDocument:
    """Return the document that identifies the patient, a resident identity card first. Raises Unmappable without one.

    Its number is not checked yet.
    """
    found = [one for one in documents if one.number.strip()]
    if not found:
        raise missing_element("patient")
    return min(found, key=lambda one: one.kind != RESIDENT_CARD)


def visit_kind(code: str | None) -> VisitKind:
    """Return the kind of visit of a class, in either code system. Raises Unmappable."""
    if not code:
        raise missing_element("class")
    transaction_type = VISIT_KINDS.get(code)
    if transaction_type is None:
        raise Unmappable("class", "unknown", Text(zh="不支持该就诊类别。", en="This class of visit is not supported."))
    return transaction_type


def parse_instant(text: str | None, time_zone: tzinfo, element: Element) -> datetime:
    """Return the instant of an ISO 8601 date or date-time, by default in `time_zone`. Raises Unmappable."""
    if not text:
        raise missing_element(element)
    if not _INSTANT.fullmatch(text):
        raise _invalid_instant(element)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:  # such as 31 April
        raise _invalid_instant(element) from None
    return normalize_instant(at if at.tzinfo else at.replace(tzinfo=time_zone), element)


def normalize_instant(at: datetime, element: Element) -> datetime:
    """Return an instant in UTC, cut to the millisecond. Raises Unmappable unless it is between 2000 and 2100."""
    if not MIN_YEAR <= at.year <= MAX_YEAR:
        raise _invalid_instant(element)
    return (at - timedelta(microseconds=at.microsecond % 1_000)).astimezone(UTC)


def _invalid_instant(element: Element) -> Unmappable:
    return Unmappable(
        element,
        "value",
        Text(
            zh="请填写2000年至2100年之间的有效日期时间。",
            en="This must be a date and time between 2000 and 2100.",
        ),
    )


# ── commands ──


def build_open_visit(
    patient: PatientKeys, class_: str | None, opened_at: datetime, estimate: str | int | Decimal | None = None
) -> OpenVisit:
    """Return the command for a new visit. Raises Unmappable."""
    estimate_fen = None if estimate is None else positive_fen_from_yuan(estimate, "estimate")
    number, kind = (
        (None, RESIDENT_CARD) if patient.document is None else (patient.document.number, patient.document.kind)
    )
    return OpenVisit(
        number, visit_kind(class_), opened_at, estimate_fen, document_kind=kind, desk_token=patient.desk_token
    )


def build_charge(
    line: str | None, code: str | None, title: str | None, amount: str | int | Decimal | None, at: datetime
) -> Line:
    """Return the line of a charge (FT1-6 CG); one of 0 yuan is kept and never billed. Raises Unmappable."""
    amount_fen = fen_from_yuan(amount)
    if amount_fen < 0:
        raise Unmappable(
            "amount", "value", Text(zh="收费金额不能小于零。", en="The amount of a charge must not be below zero.")
        )
    return Line(
        parse_identifier(line, "line"), "charge", parse_identifier(code, "code"), parse_title(title), amount_fen, at
    )


def build_credit(
    line: str | None,
    original_line: str | None,
    amount: str | int | Decimal | None,
    at: datetime,
    title: str | None = None,
) -> Line:
    """Return the line of a credit of all or part of a charge (FT1-6 CD); its sign is ignored. Raises Unmappable.

    The credit of a free line is 0.
    """
    amount_fen = abs(fen_from_yuan(amount))
    return Line(
        id=parse_identifier(line, "line"),
        kind="credit",
        code="",
        of=parse_identifier(original_line, "original_line"),
        amount_fen=-amount_fen,
        at=at,
        title=parse_title(title),
    )


def build_adjustment(
    line: str | None,
    original_line: str | None,
    amount: str | int | Decimal | None,
    at: datetime,
    title: str | None = None,
) -> Line:
    """Return the line of an adjustment of a charge, up or down (FT1-6 AJ). Raises Unmappable."""
    return Line(
        id=parse_identifier(line, "line"),
        kind="adjustment",
        code="",
        of=parse_identifier(original_line, "original_line"),
        amount_fen=fen_from_yuan(amount),
        at=at,
        title=parse_title(title),
    )


def build_counter_payment(
    payment: str | None, amount: str | int | Decimal | None, at: datetime
) -> CounterPayment | WithdrawCounterPayment:
    """Return the command for a payment at the hospital (FT1-6 PY); one below zero withdraws it. Raises Unmappable."""
    amount_fen = fen_from_yuan(amount)
    if amount_fen < 0:
        return WithdrawCounterPayment(parse_identifier(payment, "payment"), -amount_fen)
    if amount_fen == 0:
        raise Unmappable(
            "amount", "value", Text(zh="付款金额不能为零。", en="The amount of a payment must not be zero.")
        )
    return CounterPayment(parse_identifier(payment, "payment"), amount_fen, at)


def build_transaction(
    transaction_type: str | None,
    line: str | None,
    original_line: str | None,
    code: str | None,
    title: str | None,
    amount: str | int | Decimal | None,
    at: datetime,
) -> Command:
    """Return the command for a financial transaction of this type (FT1-6); payments have no code. Raises Unmappable."""
    if not transaction_type:
        raise missing_element("transaction")
    match TRANSACTIONS.get(transaction_type):
        case "charge":
            return build_charge(line, code, title, amount, at)
        case "credit":
            return build_credit(line, original_line, amount, at, title)
        case "adjustment":
            return build_adjustment(line, original_line, amount, at, title)
        case "payment":
            return build_counter_payment(line, amount, at)
        case _:
            raise Unmappable(
                "transaction", "unknown", Text(zh="不支持该交易类型。", en="This transaction type is not supported.")
            )
