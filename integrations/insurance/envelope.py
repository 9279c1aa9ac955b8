"""The envelope of the national medical insurance interface: what stands around the `input` and `output` of each call.

The names are those of the interface. `msgid` is the institution's code (12 characters), the time to the second and a
sequence of four digits. Numbers keep the places with which they were written, so that a signature can be checked.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from integrations.insurance.signatures import SigningKeys

Members = dict[str, Any]

INTERFACE_VERSION = "V1.0"
SUCCESS, FAILURE = 0, -1
INSTITUTION = re.compile(r"[0-9A-Za-z]{12}", re.ASCII)
MESSAGE_ID = re.compile(r"([0-9A-Za-z]{12})([0-9]{14})([0-9]{4})", re.ASCII)
REGION = re.compile(r"[0-9]{6}", re.ASCII)
REQUEST_MEMBERS = (
    "infno",
    "msgid",
    "mdtrtarea_admvs",
    "insuplc_admdvs",
    "recer_sys_code",
    "cainfo",
    "signtype",
    "infver",
    "opter_type",
    "opter",
    "opter_name",
    "inf_time",
    "fixmedins_code",
    "fixmedins_name",
    "input",
)
"""The members that a request must have; others, such as `dev_no`, may be added."""

TRANSACTIONS = {
    "1101": "person and insurance",
    "2201": "registration",
    "2202": "cancellation of a registration",
    "2203": "visit and diagnoses",
    "2204": "fee lines",
    "2205": "deletion of fee lines",
    "2206": "trial settlement",
    "2207": "settlement",
    "2208": "cancellation of a settlement",
    "2301": "fee lines of an inpatient",
    "2302": "deletion of fee lines of an inpatient",
    "2303": "trial settlement of an inpatient",
    "2304": "settlement of an inpatient",
    "2305": "cancellation of a settlement of an inpatient",
    "2401": "admission",
    "2601": "reversal",
    "3201": "reconciliation of totals",
    "3202": "reconciliation of details",
    "9102": "download of a file",
}
"""The transactions (`infno`) that the adapter and the sandbox speak."""

_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def message_number(institution: str, at: datetime, key: str) -> str:
    """Return the `msgid` of a message: equal keys at the same second have the same number."""
    sequence = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) % 10_000
    return f"{institution}{at:%Y%m%d%H%M%S}{sequence:04}"


def signed(members: Mapping[str, object], keys: SigningKeys) -> bytes:
    """Return an envelope as it is sent, with `signtype` and `cainfo`."""
    with_type = {**members, "signtype": keys.type}
    return _encode({**with_type, "cainfo": keys.sign(_decode(_encode(with_type)))})


def parse(body: bytes) -> Members | None:
    """Return the members of an envelope, or None if it is not a JSON object."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError):
        return None


def envelope_fault(members: Mapping[str, object], keys: SigningKeys) -> str | None:
    """Return what is wrong with the envelope of a request, or None."""
    missing = [name for name in REQUEST_MEMBERS if members.get(name) in (None, "")]
    if missing:
        return f"{missing[0]} is missing"
    texts = {name: str(members[name]) for name in REQUEST_MEMBERS if name != "input"}
    found = MESSAGE_ID.fullmatch(texts["msgid"])
    if found is None or found[1] != texts["fixmedins_code"]:
        return "msgid must be fixmedins_code (12), yyyyMMddHHmmss and a sequence (4)"
    try:
        datetime.strptime(found[2], "%Y%m%d%H%M%S")  # noqa: DTZ007  local time of the region
    except ValueError:
        return "msgid must have a valid time"
    if not all(REGION.fullmatch(texts[name]) for name in ("mdtrtarea_admvs", "insuplc_admdvs")):
        return "a region has six digits"
    if texts["infver"] != INTERFACE_VERSION:
        return f"infver must be {INTERFACE_VERSION}"
    if texts["infno"] not in TRANSACTIONS:
        return f"the transaction {texts['infno'][:4]} is not supported"
    if not isinstance(members["input"], dict):
        return "input must be an object"
    return None if keys.verify(members) else "the signature (cainfo, signtype) is wrong"
