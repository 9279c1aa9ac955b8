"""Names of counties and districts by their codes (GB/T 2260)."""

import re
from functools import cache
from typing import Any

from stdnum import numdb  # pyright: ignore[reportMissingTypeStubs]  untyped library

_PERIOD = re.compile(r"\[\d*-\d*\]")
_NEWER = {"330112": "浙江省临安区", "330113": "浙江省临平区", "330114": "浙江省钱塘区"}
"""Districts of this city that are newer than the table of python-stdnum."""


@cache
def division_name(code: str) -> str:
    """Return the province and the last name of a county or district, or the code itself if the table lacks it."""
    found: list[tuple[str, dict[str, Any]]] = numdb.get("cn/loc").info(code)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  untyped library
    parts = {name: text for _, properties in found for name, text in properties.items()}
    if "county" not in parts:
        return _NEWER.get(code, code)
    return parts.get("province", "") + _PERIOD.sub("", parts["county"].split(",")[-1])
