"""Desk tokens: short codes by which a person lets one hospital use pay later for one visit.

A person who restricted pay later to some hospitals shows a code at the desk of another. The code is bound to the
person, then to the first hospital that presents it, then to the visit that is opened with it.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace

from backend.city.id_number import IdentityDocument
from backend.city.typed_text import compact
from backend.security.field_encryption import FieldEncryption
from backend.services.medical_credit.model.problems import DeskTokensRefused
from backend.store import Document, Index
from backend.store.retention import Retention
from backend.store.time import to_ms

LIFETIME = timedelta(minutes=10)
DIGITS = 8

GUESS_PERIOD = timedelta(hours=1)
MAX_GUESSES_OF_HOSPITAL = 20
MAX_GUESSES_AT_PERSON = 5
"""Wrong tokens that a hospital may present in an hour, in all and together with one identity document.

With a thousand codes in use at once, a hospital that guesses all day hits one in 200 days on average.
"""


class PatientKeys(Struct, frozen=True):
    """What identifies the patient of a request: an identity document, the desk token that they show, or both."""

    document: IdentityDocument | None = None
    desk_token: str | None = None


class DeskToken(Document, kw_only=True):
    """A code that a person shows at a desk; its `id` is the keyed hash of the code.

    `hospital` is set by the first use, and `visit`, the id of a visit, once one is opened with it.
    """

    collection: ClassVar[str] = "desk_tokens"
    indexes: ClassVar[tuple[Index, ...]] = (Index(("person",)), Index((), ordered="expires_ms"))
    retention: ClassVar[Retention] = Retention(
        grows_with="each code that a person shows at a hospital's desk",
        ends="when the code has expired",
        names="a person",
        ends_at="expires_ms",
    )

    person: str
    expires_ms: int
    hospital: str | None = None
    visit: str | None = None

    def is_valid_for(self, hospital: str, visit: str | None, now: datetime) -> bool:
        """Return whether a hospital may use the code now, for a visit or, if it is None, to ask about one."""
        if self.expires_ms <= to_ms(now) or self.hospital not in (None, hospital):
            return False
        return visit is None or self.visit in (None, visit)

    def is_used_at(self, hospital: str, visit: str | None) -> bool:
        """Return whether a hospital itself opened another visit with the code, so that it learns nothing from this."""
        return self.hospital == hospital and self.visit not in (None, visit)

    def used_by(self, hospital: str, visit: str | None) -> "DeskToken":
        """Return the code after a hospital used it."""
        used = replace(self, hospital=hospital, visit=visit or self.visit)
        return self if used == self else used


class DeskTokenGuesses(Document, kw_only=True):
    """How many wrong desk tokens a hospital presented in an hour, in all or together with one identity document."""

    collection: ClassVar[str] = "desk_token_guesses"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)
    retention: ClassVar[Retention] = Retention(
        grows_with="each hospital that presents a wrong code, and each person with whom it does",
        ends="after an hour",
        names="nobody",
        ends_at="expires_ms",
    )

    expires_ms: int
    limit: int
    count: int = 0

    def counted(self, now: datetime) -> "DeskTokenGuesses":
        """Return the count after one more code. Raises DeskTokensRefused above the limit."""
        if self.count >= self.limit:
            wait = max(1, (self.expires_ms - to_ms(now)) // 1_000)
            raise DeskTokensRefused(
                zh=f"就诊授权码错误次数过多，请{wait // 60 + 1}分钟后再试。",
                en=f"Too many wrong desk tokens; try again in {wait // 60 + 1} minutes.",
                headers={"Retry-After": str(wait)},
            )
        return replace(self, count=self.count + 1)

    def taken_back(self) -> "DeskTokenGuesses":
        """Return the count without a code that was right."""
        return replace(self, count=max(0, self.count - 1))


def new_desk_token(encryption: FieldEncryption, person: str, now: datetime) -> tuple[str, DeskToken]:
    """Return a random code and its token for a person."""
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    return code, DeskToken(id=desk_token_id(encryption, code), person=person, expires_ms=to_ms(now + LIFETIME))


def desk_token_id(encryption: FieldEncryption, code: str) -> str:
    """Return the id of the token of a code, as it was typed at a desk."""
    return encryption.digest("desk-token", compact(code))


def new_guesses(
    encryption: FieldEncryption, hospital: str, document: IdentityDocument | None, now: datetime
) -> list[DeskTokenGuesses]:
    """Return the counts of a hospital's hour, that with an identity document first; none is stored yet."""
    hour = int(now.timestamp() // GUESS_PERIOD.total_seconds())
    expires_ms = round((hour + 1) * GUESS_PERIOD.total_seconds() * 1_000)
    subjects = {"": MAX_GUESSES_OF_HOSPITAL}
    if document is not None:
        subjects = {encryption.digest("desk-token-guess", str(document)): MAX_GUESSES_AT_PERSON} | subjects
    return [
        DeskTokenGuesses(
            id=hashlib.sha256(f"desk token guesses\n{hospital}\n{subject}\n{hour}".encode()).hexdigest()[:32],
            expires_ms=expires_ms,
            limit=limit,
        )
        for subject, limit in subjects.items()
    ]
