"""The codes that are sent to phones, and the decisions on them."""

import hmac
import secrets
from datetime import datetime, timedelta
from typing import ClassVar

from msgspec.structs import replace

from backend.i18n import Text
from backend.problems import Problem
from backend.store import Document, Index
from backend.store.retention import Retention
from backend.store.time import to_ms

CODE_LIFETIME = timedelta(minutes=5)
RESEND_SECONDS = 60
MAX_ATTEMPTS = 5


class WrongCode(Problem):
    """The code is not the one of this challenge, or has expired."""

    status, title = 400, "Wrong code"


class CodeExhausted(Problem):
    """Too many wrong attempts; request a new code."""

    status, title = 429, "Code exhausted"


class SignInChallenge(Document, kw_only=True):
    """A code that was sent to a phone. Its random `id` goes to the sender of the request, and the code to the phone.

    Both are needed to sign in, and wrong codes spend this challenge only. So nobody can guess another person's code, or
    use up their attempts.
    """

    collection: ClassVar[str] = "sign_in_challenges"
    indexes: ClassVar[tuple[Index, ...]] = (Index((), ordered="expires_ms"),)
    retention: ClassVar[Retention] = Retention(
        grows_with="each code that was sent to a phone",
        ends="when the code has expired",
        names="nobody",
        ends_at="expires_ms",
    )

    phone_digest: str = ""
    code_digest: str
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


def new_challenge(challenge_id: str, phone_digest: str, code_digest: str, now: datetime) -> SignInChallenge:
    """Return the challenge of a code that is sent now."""
    return SignInChallenge(
        id=challenge_id, phone_digest=phone_digest, code_digest=code_digest, expires_ms=to_ms(now + CODE_LIFETIME)
    )


def check_code(challenge: SignInChallenge, phone_digest: str, code_digest: str, now: datetime) -> SignInChallenge:
    """Count an attempt; return the challenge, which is now `used` if the code is correct. Store it before acting on it.

    Raises WrongCode if no code is valid, and CodeExhausted after five attempts.
    """
    if challenge.used or challenge.phone_digest != phone_digest or challenge.expires_ms <= to_ms(now):
        raise wrong_code()
    if challenge.attempts >= MAX_ATTEMPTS:
        raise CodeExhausted(
            Text(zh="验证码尝试次数过多，请重新获取。", en="Too many attempts; request a new code."),
            headers={"Retry-After": str(RESEND_SECONDS)},
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
