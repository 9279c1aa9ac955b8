"""The fee lines of a claim as the national interface takes them (2204, 2301), and identifiers in its lengths. Pure."""

import base64
import hashlib
import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from backend.services.medical_credit.ports import ClaimLine, InsuranceClaim

MAX_ID = 30
"""The length of feedetl_sn and ipt_otp_no."""

PRICE_PLACES, QUANTITY_PLACES = 6, 4
_OUR_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SHORT_ID = re.compile(r"[A-Z2-7]{26}", re.ASCII)
_FEN = Decimal("0.01")


def fee_lines(claim: InsuranceClaim, time_zone: ZoneInfo) -> Iterator[dict[str, Any]]:
    """Yield the fee lines of a claim, without the numbers of its registration."""
    for line in claim.lines:
        quantity, price = quantity_and_price(line)
        yield {
            "feedetl_sn": line_number(line.id),
            "chrg_bchno": claim.batch,
            "fee_ocur_time": f"{line.at.astimezone(time_zone):%Y-%m-%d %H:%M:%S}",
            "med_list_codg": line.catalogue_code or line.code,
            "medins_list_codg": line.code,
            "det_item_fee_sumamt": Decimal(line.amount_fen).scaleb(-2),
            "cnt": quantity,
            "pric": price,
            "bilg_dept_codg": line.department,
            "bilg_dr_codg": line.doctor,
            "hosp_appr_flag": "1",
        }


def quantity_and_price(line: ClaimLine) -> tuple[Decimal, Decimal]:
    """Return `cnt` (16,4) and `pric` (16,6) of a line: those that the hospital sent, if their product is the amount.

    A line that was credited in part, or whose price was rounded, is one of its amount: the insurance compares.
    """
    amount = Decimal(line.amount_fen).scaleb(-2)
    if line.quantity is not None and line.unit_price is not None:
        product = (line.quantity * line.unit_price).quantize(_FEN, ROUND_HALF_UP)
        if product == amount and _fits(line.quantity, QUANTITY_PLACES) and _fits(line.unit_price, PRICE_PLACES):
            return line.quantity, line.unit_price
    return Decimal(1), amount


def _fits(value: Decimal, places: int) -> bool:
    return value == value.quantize(Decimal(1).scaleb(-places)) and value > 0


def line_number(line_id: str) -> str:
    """Return the number of a line (feedetl_sn); a longer id is replaced by its digest."""
    return line_id if len(line_id) <= MAX_ID else hashlib.sha256(line_id.encode()).hexdigest()[:MAX_ID]


def short_id(visit: str) -> str:
    """Return the id of a visit in the length of ipt_otp_no."""
    if not _OUR_ID.fullmatch(visit):
        return visit[:MAX_ID]
    return base64.b32encode(bytes.fromhex(visit)).decode().rstrip("=")


def full_id(number: str) -> str:
    """Return the id of the visit whose `short_id` this is; another number is returned as it is."""
    return base64.b32decode(f"{number}======").hex() if _SHORT_ID.fullmatch(number) else number
