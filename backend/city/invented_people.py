"""The people of an invented city: numbers that no authority issues, and what follows from them.

The registers of the sandboxes know these people by their numbers alone, as real registers know theirs.
"""

from datetime import date
from random import Random

from stdnum.cn import ric  # pyright: ignore[reportMissingTypeStubs]  untyped library

from backend.city.id_number import Sex

PEOPLE_PER_DIVISION = 500
MAX_PEOPLE = 10_000 * PEOPLE_PER_DIVISION
_INVENTED = "99"
_PHONES = "+86139"

_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林郑谢罗梁宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈"
_GIVEN_NAMES = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂兰玉英华建国文辉力红志云梅鑫波宇浩凯健俊帆雪荣嘉晨思雨子轩梓涵一诺"
)


def invented_id_number(place: int, sex: Sex, born_on: date) -> str:
    """Return the ID number (GB 11643-1999) of the person at this place in the invented city."""
    division, order = divmod(place, PEOPLE_PER_DIVISION)
    body = f"{_INVENTED}{division:04d}{born_on:%Y%m%d}{2 * order + (sex == 'male'):03d}"
    return body + str(ric.calc_check_digit(body + "0"))  # pyright: ignore[reportUnknownMemberType]  untyped library


def is_invented(id_number: str) -> bool:
    """Return whether an identity document, as text, is the ID card of a person of the invented city."""
    return id_number.startswith(_INVENTED) and len(id_number) == len("990000190001010000")


def invented_place(id_number: str) -> int:
    """Return the place of a person in the invented city, from their ID number."""
    return int(id_number[2:6]) * PEOPLE_PER_DIVISION + int(id_number[14:17]) // 2


def invented_name(id_number: str) -> str:
    """Return the name of the person with an invented ID number."""
    return draw_name(Random(f"name {id_number}"))  # noqa: S311  must be reproducible


def invented_face(document: str) -> str:
    """Return the id of the check of a face that the sandbox takes for the holder of a document, as text."""
    return f"face:{document}"


def draw_name(rng: Random) -> str:
    """Return a random name of two or three characters."""
    return rng.choice(_SURNAMES) + "".join(rng.choices(_GIVEN_NAMES, k=rng.choice((1, 2, 2))))


def phone_of_place(place: int) -> str:
    """Return the phone of the person at this place in the invented city."""
    return f"{_PHONES}{place:08d}"


def place_of_phone(phone: str) -> int | None:
    """Return the place of the person whose phone this is; None if it is nobody's in the invented city."""
    place = int(phone.removeprefix(_PHONES)) if phone.startswith(_PHONES) else MAX_PEOPLE
    return place if place < MAX_PEOPLE else None
