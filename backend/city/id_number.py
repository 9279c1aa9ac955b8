"""Identity documents: whether a number has the form of its kind, and what it says about its holder.

Only the form, the birth date and the check digit are checked. The first six digits of a resident ID number are the
division where its holder was registered when it was issued. They say nothing about the year of birth, and divisions
are founded and dissolved every year, so they are left to the registers, which know whether a number was issued.
"""

import re
from datetime import date
from typing import Annotated, Literal, NamedTuple, cast

from msgspec import Meta, Struct
from stdnum.cn import ric  # pyright: ignore[reportMissingTypeStubs]  untyped library

from backend.city.typed_text import compact
from backend.problems import FieldError, Problem

Sex = Literal["female", "male"]
DocumentKind = Literal[
    "resident_identity_card",
    "permanent_residence_card",
    "passport",
    "hong_kong_macao_travel_permit",
    "taiwan_travel_permit",
]
"""The residence permits of Hong Kong, Macao and Taiwan (810000, 820000, 830000) have resident ID numbers."""

RESIDENT_CARD: DocumentKind = "resident_identity_card"
_RESIDENCE_CARD: DocumentKind = "permanent_residence_card"
_SEX_DIGIT = 16
_DIVISION_DIGITS = 6

TypedIdNumber = Annotated[str, Meta(min_length=1, max_length=32, description="as people type it")]
"""The number of an identity document in a request."""


class InvalidIdNumber(Problem):
    """The number of an identity document cannot have been issued: its form, check digit or birth date is wrong."""

    status, title = 400, "Invalid ID number"


class IdentityDocument(Struct, frozen=True):
    """An identity document: the number by which the city knows a person, and its kind."""

    number: str
    kind: DocumentKind = RESIDENT_CARD

    def __str__(self) -> str:
        """Return the text that is stored, hashed and sent to registries: a resident ID number, or `kind:number`."""
        return self.number if self.kind == RESIDENT_CARD else f"{self.kind}:{self.number}"

    @classmethod
    def from_text(cls, text: str) -> "IdentityDocument":
        """Return the document whose stored text this is."""
        kind, _, number = text.rpartition(":")
        return cls(number, cast("DocumentKind", kind) if kind else RESIDENT_CARD)

    @property
    def born_on(self) -> date | None:
        """The birth date that the number encodes (GB 11643-1999), or None if there is none in it."""
        if self.kind not in (RESIDENT_CARD, _RESIDENCE_CARD) or not self.number[0].isdecimal():
            return None
        return date(int(self.number[6:10]), int(self.number[10:12]), int(self.number[12:14]))

    @property
    def division(self) -> str | None:
        """The county or district, by its code (GB/T 2260), in which the number was issued, or None if it names none.

        It is where the person was registered first, which is not always where they are registered now.
        """
        return self.number[:_DIVISION_DIGITS] if self.kind == RESIDENT_CARD else None

    @property
    def sex(self) -> Sex | None:
        """The sex that the number encodes, or None if it encodes none."""
        if self.kind != RESIDENT_CARD:
            return None
        return "male" if int(self.number[_SEX_DIGIT]) % 2 else "female"


class _Form(NamedTuple):
    """How the numbers of a kind of document look; the first group identifies the holder."""

    pattern: re.Pattern[str]
    chinese: str
    english: str


_FORMS: dict[DocumentKind, _Form] = {
    # No division begins with 9: the cards of foreigners do, followed by province, country and birth date. Synthetic
    # cities have 99, which neither has.
    "resident_identity_card": _Form(
        re.compile(r"((?:[1-8]\d|99)\d{15}[\dX])", re.ASCII),
        "身份证号码应为18位，最后一位可以是X。使用其他证件的，请选择证件类型。",
        "An ID number has 17 digits, then a digit or X. If this is another document, name its kind.",
    ),
    # Until 2023 the country's three letters and twelve digits; since then 18 digits with the check digit of GB 11643.
    "permanent_residence_card": _Form(
        re.compile(r"([A-Z]{3}\d{12}|9[1-8]\d{15}[\dX])", re.ASCII),
        "外国人永久居留身份证号码应为9开头的18位号码，或3位字母加12位数字。",
        "A permanent residence card has 18 digits that begin with 9, or three letters and twelve digits.",
    ),
    "passport": _Form(
        re.compile(r"((?=[A-Z]*\d)[A-Z\d]{5,20})", re.ASCII),
        "护照号码应为5至20位字母和数字。",
        "A passport number has 5 to 20 letters and digits.",
    ),
    # Eight digits for life; two more count how often the permit was renewed.
    "hong_kong_macao_travel_permit": _Form(
        re.compile(r"([HM]\d{8})(?:\d{2})?", re.ASCII),
        "港澳居民来往内地通行证号码应为H或M加8位或10位数字。",
        "A travel permit of Hong Kong or Macao has H or M, then 8 or 10 digits.",
    ),
    # Eight digits for life; older booklets add how often they were issued, and a letter.
    "taiwan_travel_permit": _Form(
        re.compile(r"(\d{8})(?:\(?\d{2}\)?(?:\(?[A-Z]\)?)?)?", re.ASCII),
        "台湾居民来往大陆通行证号码应为8位数字。",
        "A travel permit of Taiwan has 8 digits.",
    ),
}


def parse_id_number(
    text: str, today: date, pointer: str = "/id_number", kind: DocumentKind = RESIDENT_CARD
) -> IdentityDocument:
    """Parse the number of an identity document as people type it. Raises InvalidIdNumber at the JSON `pointer`.

    The number of a permanent residence card is recognised as one even if no kind was named.
    """
    typed = compact(text.replace("×", "X"))
    if kind == RESIDENT_CARD and _FORMS[_RESIDENCE_CARD].pattern.fullmatch(typed):
        kind = _RESIDENCE_CARD
    form = _FORMS[kind]
    found = form.pattern.fullmatch(typed)
    if found is None:
        raise _invalid(form.chinese, form.english, pointer)
    document = IdentityDocument(found[1], kind)
    try:
        born_on = document.born_on
    except ValueError as error:  # such as 30 February
        raise _mistyped(pointer) from error
    if born_on is None:
        return document
    if ric.calc_check_digit(document.number) != document.number[-1]:  # pyright: ignore[reportUnknownMemberType]  untyped library
        raise _mistyped(pointer)
    if born_on > today:
        raise _invalid(
            "身份证号码中的出生日期晚于今天，请核对。",
            "The birth date in the ID number is in the future; please check.",
            pointer,
        )
    return document


def _mistyped(pointer: str) -> InvalidIdNumber:
    english = "The ID number's checksum or birth date is wrong; please check."
    return _invalid("身份证号码有误，请核对。", english, pointer)


def _invalid(chinese: str, english: str, pointer: str) -> InvalidIdNumber:
    return InvalidIdNumber(zh=chinese, en=english, errors=(FieldError(pointer, english, chinese),))
