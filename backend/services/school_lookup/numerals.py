"""Chinese numerals in addresses: 一百八十六, 一八六, 廿一, 壹佰贰拾叁 and two hundred as 两百."""

import re

_PLAIN = str.maketrans(
    dict(zip("〇○壹贰貳两兩叁參肆伍陆陸柒捌玖拾佰仟", "零零一二二二二三三四五六六七八九十百千", strict=True))
    | {"廿": "二十", "卅": "三十", "卌": "四十"}
)
_DIGITS = {character: digit for digit, character in enumerate("零一二三四五六七八九")}
_DIGIT = "[一二三四五六七八九]"
_WITH_UNITS = re.compile(
    rf"(?:({_DIGIT})千)?(?:零?({_DIGIT})百|(?<![千零])(百))?(?:零?({_DIGIT}?)(十))?(零)?({_DIGIT})?"
)
NUMERAL = "[〇○零一二三四五六七八九十百千两兩廿卅卌壹贰貳叁參肆伍陆陸柒捌玖拾佰仟]"
"""The characters of a numeral, for use in a pattern."""

MAX_DIGITS = 5


def numeral_value(numeral: str) -> int | None:
    """Return the value of a numeral below 10,000, or None if it is none or has two readings.

    一百二 is 102 to some and 120 to others.
    """
    plain = numeral.translate(_PLAIN)
    if all(character in _DIGITS for character in plain):
        return int("".join(str(_DIGITS[character]) for character in plain)) if len(plain) <= MAX_DIGITS else None
    found = _WITH_UNITS.fullmatch(plain)
    if found is None:
        return None
    thousands, hundreds, hundred, tens, ten, zero, ones = found.groups()
    if ones and not ten and not zero and (thousands or hundreds or hundred):
        return None
    if zero and not ones:
        return None
    return (
        1_000 * _digit(thousands)
        + 100 * (1 if hundred else _digit(hundreds))
        + 10 * (_digit(tens or "一") if ten else 0)
        + _digit(ones)
    )


def _digit(character: str | None) -> int:
    return _DIGITS[character] if character else 0


def numeral(number: int) -> str:
    """Return the Chinese numeral of a number below 100, as in the names of roads and communities (二十一大街)."""
    tens, ones = divmod(number, 10)
    digits = "零一二三四五六七八九"
    if not tens:
        return digits[ones]
    return ("" if tens == 1 else digits[tens]) + "十" + (digits[ones] if ones else "")


def in_plain_numerals(name: str) -> str:
    """Return a name with the numerals in their usual form: 朝晖6区 as 朝晖六区, 廿四间 as 二十四间."""
    plain = (
        name.replace("廿", "二十").replace("卅", "三十").replace("卌", "四十").replace("〇", "零").replace("○", "零")
    )
    return re.sub(r"(?<!\d)\d{1,2}(?!\d)", lambda found: numeral(int(found[0])), plain)
