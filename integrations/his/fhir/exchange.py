"""One request at the FHIR door: which hospital asks, what for, and the answer."""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from backend.city.service import City
from backend.i18n import Text
from backend.problems import NotAllowed, NotFound
from backend.services.medical_credit.model.hospital import Hospital

Json = dict[str, Any]
Letter = Literal["c", "r", "u", "d", "s"]
Returned = Literal["representation", "minimal", "OperationOutcome"]

encode = msgspec.json.Encoder(decimal_format="number").encode


class Desk:
    """Where a hospital is served: the city, the hospital, the address under which it knows us, and what it may do."""

    def __init__(self, city: City, hospital: Hospital, base: str, scopes: tuple[str, ...]) -> None:
        self.city = city
        self.hospital = hospital
        self.base = base
        self._may = permitted(scopes)

    @cached_property
    def now(self) -> datetime:
        """The present instant, the same for the whole request."""
        return self.city.now()

    @cached_property
    def zone(self) -> ZoneInfo:
        """The city's time zone, in which dates without an offset are read."""
        return ZoneInfo(self.city.settings.time_zone)

    def system(self, what: str) -> str:
        """Give the URI of the system in which the hospital names its visits, lines, payments and so on."""
        return f"urn:chengma:hospital:{self.hospital.id}:{what}"

    def patient(self, person: str) -> str:
        """Give what a person is called to this hospital: the same each time, and nothing to any other."""
        return self.city.encryption.digest("fhir-patient", f"{self.hospital.id}\n{person}")

    def demand(self, kind: str, letter: Letter) -> None:
        """Refuse what the token was not granted. Raises NotAllowed."""
        if (kind, letter) not in self._may:
            raise NotAllowed(
                Text(zh="令牌没有此权限。", en=f"The access token lacks the scope system/{kind}.{letter}."),
                headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="system/{kind}.{letter}"'},
            )


READ, WRITE = "rs", "cud"
KINDS = (
    "Encounter",
    "Account",
    "ChargeItem",
    "Invoice",
    "PaymentNotice",
    "CoverageEligibilityRequest",
    "CoverageEligibilityResponse",
    "PaymentReconciliation",
)
"""The kinds of resources for which there are scopes."""


@lru_cache(maxsize=1_024)
def permitted(scopes: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    """Give what scopes allow: v1 (`system/Encounter.read`) and v2 (`system/Encounter.crs`); unknown ones nothing."""
    return frozenset(pair for scope in scopes for pair in allowed_by(scope))


def allowed_by(scope: str) -> frozenset[tuple[str, str]]:
    """Give the kinds and letters that one scope allows."""
    context, _, rest = scope.partition("/")
    kind, dot, rights = rest.partition(".")
    if context != "system" or not dot or (kind != "*" and kind not in KINDS):
        return frozenset()
    letters = {"read": READ, "write": WRITE, "*": READ + WRITE}.get(rights, rights)
    in_order = [letter for letter in "cruds" if letter in letters]
    if rights == letters and "".join(in_order) != letters:
        return frozenset()
    return frozenset((one, letter) for one in (KINDS if kind == "*" else (kind,)) for letter in in_order)


class Asked(Struct, frozen=True):
    """One interaction: a request of its own, or an entry of a bundle. `body` is a resource as JSON."""

    method: str
    kind: str
    id: str | None = None
    query: tuple[tuple[str, str], ...] = ()
    body: Json | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_none_exist: str | None = None
    strict: bool = False
    secret: bool = False
    """Whether the parameters came in a body, where they may be personal."""


class Answer(Struct, frozen=True):
    """What came of an interaction."""

    status: int
    resource: Json | None = None
    location: str | None = None


def stamped(resource: Json, at: datetime) -> Json:
    """Give a resource its version, which follows from what it says, and the instant of its last change."""
    version = blake2b(encode(resource), digest_size=8).hexdigest()
    meta = {"versionId": version, "lastUpdated": instant(at)}
    return {"resourceType": resource["resourceType"], "id": resource["id"], "meta": meta} | resource


def etag(resource: Json) -> str:
    """Give the ETag of a resource, by which `If-Match` knows it."""
    return f'W/"{resource["meta"]["versionId"]}"'


def matches(given: str, resource: Json) -> bool:
    """Tell whether an `If-Match` or `If-None-Match` names this version; weak and strong ones are the same here."""
    if given.strip() == "*":
        return True
    named = [one.strip().removeprefix("W/").strip('"') for one in given.split(",")]
    return resource["meta"]["versionId"] in named


def instant(at: datetime) -> str:
    """Write an instant as FHIR does."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def nothing_here() -> NotFound:
    """Give the Problem for what is not there, or is another hospital's."""
    return NotFound(Text(zh="没有找到该资源。", en="There is no such resource."))


def prefers(header: str) -> Mapping[str, str]:
    """Read a `Prefer` header (RFC 7240)."""
    pairs = (part.partition("=") for part in header.replace(";", ",").split(","))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
