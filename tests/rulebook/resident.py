"""The facts of the examples in the catalogue of checks and of the planted mistakes: a person who may get a subsidy."""

from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

CITY = ZoneInfo("Asia/Shanghai")


class Stay(Struct, frozen=True):
    kind: Literal["owner", "tenant"]
    since: datetime
    until: datetime | None = None


class Resident(Struct, frozen=True):
    age: Annotated[int, Meta(ge=0, le=150)]
    disabled: bool = False
    home: Literal["east", "west"] | None = None
    income_fen: Annotated[int, Meta(ge=0, le=10**12)] = 0
    share: float = 0.0
    name: str = ""
    stays: tuple[Stay, ...] = ()
