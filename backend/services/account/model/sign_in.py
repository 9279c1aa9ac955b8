"""The codes that are sent to phones, and the decisions on them."""

import hmac
import secrets
from datetime import datetime, timedelta
from typing import ClassVar

from msgspec.structs import replace

from backend.i18n import Text
from backend.problems import Problem
from backend.store import Document, Index
from backend.store.time import to_ms

CODE_LIFETIME = timedelta(minutes=5)
RESEND_INTERVAL = timedelta(seconds=60)
MAX_ATTEMPTS = 5
MAX_CODES_PER_DAY = 10


class WrongCode(Problem):
    """The code is not the latest one, or has expired."""

    status, title = 400, "Wrong code"


class CodeExhausted(Problem):
    """Too many wrong attempts; request a new code."""

    status, title = 429, "Code exhausted"


class SignInChallenge(Document, kw_only=True):
    """The code that was sent to a phone last; `id` is the phone's keyed hash.

    `sent` lists when codes were sent during a day. The document is deleted after `expires_ms`, a day after the last.
    """

    collection: ClassVar[str] = "sign_in_challenges"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)

    code_digest: str
    sent: tuple[datetime, ...]
    expires_ms: int
    attempts: int = 0
    used: bool = False


def new_code() -> str:
    """Return a new code of six random digits."""
    return f"{secrets.randbelow(10**6):06d}"


def sign_in_message(code: str) -> Text:
    """Return the text message that carries a code."""
    minutes = int(CODE_LIFETIME.total_seconds()) // 60
    return Text(
        zh=f"【城码】验证码{code}，{minutes}分钟内有效。工作人员不会索要，请勿告诉他人。",
        en=f"[Chengma] Your code is {code}, valid for {minutes} minutes. Our staff never ask for it; do not share it.",
    )


def seconds_until_resend(challenge: SignInChallenge, now: datetime) -> int:
    """Return the seconds to wait before another code may be sent to this phone; 0 if it may be sent now."""
    recent = [sent for sent in challenge.sent if now - sent < timedelta(days=1)]
    waits = [RESEND_INTERVAL - (now - recent[-1])] if recent else []
    if len(recent) >= MAX_CODES_PER_DAY:
        waits.append(timedelta(days=1) - (now - recent[0]))
    return max(0, *(int(wait.total_seconds()) + 1 for wait in waits if wait > timedelta(0)), 0)


def new_challenge(phone_digest: str) -> SignInChallenge:
    """Return the challenge of a phone to which no code was sent yet, to be renewed."""
    return SignInChallenge(id=phone_digest, code_digest="", sent=(), expires_ms=0)


def renew_challenge(challenge: SignInChallenge, code_digest: str, now: datetime) -> SignInChallenge:
    """Replace the code of a phone and reset its attempts."""
    recent = tuple(sent for sent in challenge.sent if now - sent < timedelta(days=1))
    sent, expires_ms = (*recent, now), to_ms(now + timedelta(days=1))
    return replace(challenge, code_digest=code_digest, sent=sent, expires_ms=expires_ms, attempts=0, used=False)


def check_code(challenge: SignInChallenge, code_digest: str, now: datetime) -> SignInChallenge:
    """Count an attempt; return the challenge, which is now `used` if the code is correct. Store it before acting on it.

    Raises WrongCode if no code is valid, and CodeExhausted after five attempts.
    """
    if challenge.used or now - challenge.sent[-1] >= CODE_LIFETIME:
        raise wrong_code()
    if challenge.attempts >= MAX_ATTEMPTS:
        raise CodeExhausted(
            Text(zh="验证码尝试次数过多，请重新获取。", en="Too many attempts; request a new code."),
            headers={"Retry-After": str(int(RESEND_INTERVAL.total_seconds()))},
        )
    correct = hmac.compare_digest(challenge.code_digest, code_digest)
    return replace(challenge, attempts=challenge.attempts + 1, used=correct)


def wrong_code() -> WrongCode:
    """Return the Problem for a code that is wrong, expired, used or never sent; it does not disclose which."""
    return WrongCode(
        Text(
            zh="验证码错误或已失效，请核对或重新获取。",
            en="The code is wrong or has expired; check it or request a new one.",
        )
    )
