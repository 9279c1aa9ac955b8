"""Map the financial transactions of a DFT^P03 (FT1) to commands. Pure.

What is billed is FT1-11, or FT1-10 times FT1-12 if FT1-11 is empty, and must be whole fen. Where FT1-11 is given, a
quantity and a unit price only explain it: they may have more decimal places, or be rounded to it within half a fen. Any
other difference is a warning. An amount in another currency than yuan is refused, wherever a price names it.
"""

import re
from datetime import datetime, tzinfo
from fractions import Fraction

from msgspec.structs import replace

from backend.i18n import Text
from backend.services.medical_credit.model.commands import Command, WithdrawCounterPayment
from backend.services.medical_credit.model.unreferenced_line import UnreferencedLine
from backend.services.medical_credit.model.visit import CounterPayment, Explanation, Line
from integrations.his import mapping
from integrations.his.explanations import build_explanation
from integrations.his.hl7v2.errors import Hl7Error, error_at
from integrations.his.hl7v2.identifiers import parse_number, with_system
from integrations.his.hl7v2.message import Part, Segment
from integrations.his.hl7v2.timestamps import parse_timestamp

LINE, BATCH, QUANTITY, AMOUNT, UNIT_PRICE, REFERENCE = 2, 3, 10, 11, 12, 31
"""Fields of FT1. FT1-31 exists since version 2.5."""
PRICES = (AMOUNT, UNIT_PRICE, 15, 22)
"""The fields of FT1 that are prices (data type CP): also the insurance amount, and the unit cost."""
YUAN = frozenset({"", "CNY", "RMB", "156", "元", "人民币", "人民币元"})
PRICE_TYPES = frozenset({"AP", "DC", "IC", "PF", "TF", "TP", "UP"})
"""HL7 table 0205 (CP-2)."""
MAX_DIFFERENCE = Fraction(1, 2)
"""In fen, between an amount and quantity times unit price."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,12}(?:\.[0-9]{1,10})?", re.ASCII)
_CURRENCY_CODE = re.compile(r"[A-Z]{3}", re.ASCII)
_FIELDS: dict[mapping.Element, int] = {
    "line": 2,
    "payment": 2,
    "occurred_at": 4,
    "transaction": 6,
    "code": 7,
    "title": 8,
    "amount": AMOUNT,
    "original_line": REFERENCE,
}


def parse_transaction(segment: Segment, time_zone: tzinfo, *, before_2_5: bool) -> tuple[Command, tuple[Hl7Error, ...]]:
    """Return the command of an FT1, and warnings. Raises Hl7Error at the field with the fault."""
    for number in PRICES:
        _check_currency(segment.field(number))
    _check_single(segment.field(AMOUNT))
    _check_single(segment.field(UNIT_PRICE))
    transaction_type, line, reference = (segment.field(number).text for number in (6, 2, REFERENCE))
    code, title = segment.field(7), segment.field(8)
    try:
        amount, warnings = _amount(segment)
        at = _instant(segment.field(4), time_zone)
        if before_2_5 and not reference and transaction_type in ("CD", "AJ"):
            # it names itself as its charge, until the lines of the visit are known
            found = mapping.build_transaction(transaction_type, line, line, "", title.text, amount, at)
            assert isinstance(found, Line), "credits and adjustments are lines"
            unreferenced = UnreferencedLine(
                found, mapping.parse_identifier(code.text, "code"), segment.field(BATCH).text
            )
            return _with_systems(unreferenced, segment), warnings
        command = mapping.build_transaction(
            transaction_type, line, reference, code.text, title.text or code.component(2).text, amount, at
        )
    except mapping.Unmappable as error:
        raise error_at(segment.field(_FIELDS.get(error.element, 0)).location, error) from error
    return _with_systems(command, segment), warnings


def _with_systems(command: Command, segment: Segment) -> Command:
    """Return a command with what explains it, and whose ids have the systems of FT1-2 and FT1-31, where these name one.

    A withdrawal names the payment in FT1-31, or has its FT1-2.
    """
    if isinstance(command, UnreferencedLine):
        return replace(command, line=replace(command.line, id=with_system(segment.field(LINE), command.line.id)))
    if isinstance(command, Line):
        of = command.of and with_system(segment.field(REFERENCE), command.of)
        explanation = _explanation(segment) if command.kind == "charge" else None
        return replace(command, id=with_system(segment.field(LINE), command.id), of=of, explanation=explanation)
    if isinstance(command, CounterPayment):
        return replace(command, id=with_system(segment.field(LINE), command.id))
    if isinstance(command, WithdrawCounterPayment):
        named = segment.field(REFERENCE)
        return replace(command, id=parse_number(named if named.text else segment.field(LINE), "payment"))
    return command


def _explanation(segment: Segment) -> Explanation | None:
    """Return what FT1 says of a charge besides its amount; FT1-7.4 is its code in the insurance's catalogue."""
    performer, orderer = (segment.field(number).component(1).text for number in (20, 21))
    return build_explanation(
        segment.field(QUANTITY).text,
        segment.field(UNIT_PRICE).component(1).subcomponent(1).text,
        segment.field(7).component(4).text,
        segment.field(13).component(1).text,
        performer or orderer,
    )


def _instant(part: Part, time_zone: tzinfo) -> datetime:
    return mapping.normalize_instant(parse_timestamp(part.text, part.location, time_zone), "occurred_at")


def _check_currency(price: Part) -> None:
    """Raise Hl7Error 103 if a price names another currency than yuan, in whichever of its parts."""
    syntax = price.syntax
    for repetition in price.repetitions():
        for number, component in enumerate(_split(repetition.raw, syntax.component), 1):
            for subnumber, raw in enumerate(_split(component, syntax.subcomponent), 1):
                part = repetition.subpart(raw, component=number, subcomponent=subnumber)
                is_amount = number == subnumber == 1
                if raw and not is_amount and _is_other_currency(part.text.strip().upper(), number):
                    text = Text(
                        zh=f"{part.location}：金额须为人民币（CNY）",
                        en=f"{part.location}: amounts must be in yuan (CNY)",
                    )
                    raise Hl7Error(part.location, "103", text)


def _split(raw: str, separator: str) -> list[str]:
    return raw.split(separator) if separator else [raw]


def _check_single(price: Part) -> None:
    """Raise Hl7Error 102 if a price is repeated."""
    for repetition in price.repetitions()[1:]:
        if repetition.raw:
            text = Text(zh=f"{price.location}只能有一个金额", en=f"{price.location} must have one amount")
            raise Hl7Error(repetition.location, "102", text)


def _is_other_currency(word: str, component: int) -> bool:
    """Return whether a part of a price names another currency; CP-1 has the currency, CP-2 the type of the price."""
    if component == 1:
        return word not in YUAN
    if component == 2:  # noqa: PLR2004  CP-2
        return word not in YUAN | PRICE_TYPES
    return _CURRENCY_CODE.fullmatch(word) is not None and word not in YUAN


def _amount(segment: Segment) -> tuple[str, tuple[Hl7Error, ...]]:
    """Return the amount that is billed, and a warning if quantity times unit price is another."""
    amount, unit_price = (segment.field(number).component(1).subcomponent(1) for number in (AMOUNT, UNIT_PRICE))
    quantity = segment.field(QUANTITY)
    if not amount.text:
        return _product(amount, quantity, unit_price), ()
    amount_fen = mapping.fen_from_yuan(amount.text)
    if segment.field(6).text == "PY" and amount_fen > 0 and quantity.text.startswith("-"):
        return f"-{amount.text.removeprefix('+')}", ()  # a withdrawal, whose sign is in the quantity
    if not unit_price.text:
        return amount.text, ()
    for part in (quantity, unit_price):
        if part.text and not _NUMBER.fullmatch(part.text):
            text = Text(
                zh=f"{part.location}不是数字，已按{amount.location}计费",
                en=f"{part.location} is not a number; {amount.location} is billed",
            )
            return amount.text, (Hl7Error(part.location, "102", text, "W"),)
    product = Fraction(unit_price.text) * Fraction(quantity.text or 1) * 100
    if segment.field(6).text != "CG":  # the sign of a credit is in the quantity, in the amount, or in the type only
        product, amount_fen = abs(product), abs(amount_fen)
    if abs(product - amount_fen) <= MAX_DIFFERENCE:
        return amount.text, ()
    text = Text(
        zh=f"{amount.location}与数量乘以单价不符，已按{amount.location}计费",
        en=f"{amount.location} differs from quantity times unit price; {amount.location} is billed",
    )
    return amount.text, (Hl7Error(amount.location, "102", text, "W"),)


def _product(amount: Part, quantity: Part, unit_price: Part) -> str:
    """Return quantity times unit price as an amount in yuan, or nothing without a unit price. Raises Hl7Error 102."""
    if not unit_price.text:
        return ""
    for part in (quantity, unit_price):
        if part.text and not _NUMBER.fullmatch(part.text):
            text = Text(zh=f"{part.location}须为数字", en=f"{part.location} must be a number")
            raise Hl7Error(part.location, "102", text)
    product_fen = Fraction(unit_price.text) * Fraction(quantity.text or 1) * 100
    if product_fen.denominator != 1:
        text = Text(
            zh=f"数量乘以单价不是整分，请填写{amount.location}",
            en=f"quantity times unit price is not a whole number of fen; {amount.location} is required",
        )
        raise Hl7Error(amount.location, "102", text)
    return str(mapping.yuan_from_fen(int(product_fen)))
