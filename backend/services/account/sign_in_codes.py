"""Issue sign-in codes and check them."""

from backend.city.service import City
from backend.security.identity import too_many_requests
from backend.services.account.accounts import phone_digest_of
from backend.services.account.model import (
    RESEND_INTERVAL,
    SignInChallenge,
    check_code,
    first_challenge,
    new_code,
    renew_challenge,
    seconds_until_resend,
    wrong_code,
)
from backend.store import Conflict, Duplicate


async def issue_code(city: City, phone: str) -> str:
    """Store a new code for a phone and return it. Raises TooManyRequests if the last one is too recent."""
    now = city.now()
    phone_digest = phone_digest_of(city, phone)
    code = new_code()
    code_digest = _digest(city, phone_digest, code)
    challenge = await city.store.get(SignInChallenge, phone_digest)
    try:
        if challenge is None:
            await city.store.insert(first_challenge(phone_digest, code_digest, now))
        else:
            wait = seconds_until_resend(challenge, now)
            if wait:
                raise too_many_requests(wait)
            await city.store.replace(renew_challenge(challenge, code_digest, now))
    except (Conflict, Duplicate):
        raise too_many_requests(int(RESEND_INTERVAL.total_seconds())) from None
    return code


async def verify_phone(city: City, phone: str, code: str) -> None:
    """Verify that the caller holds a phone, by the code sent to it. Raises WrongCode or CodeExhausted.

    An attempt is stored before its result is used, so that concurrent attempts are counted one by one.
    """
    phone_digest = phone_digest_of(city, phone)
    while True:
        challenge = await city.store.get(SignInChallenge, phone_digest)
        attempted, correct = check_code(challenge, _digest(city, phone_digest, code), city.now())
        try:
            await city.store.replace(attempted)
        except Conflict:
            continue
        if not correct:
            raise wrong_code()
        return


def _digest(city: City, phone_digest: str, code: str) -> str:
    return city.encryption.digest("sign-in-code", f"{phone_digest}\n{code}")
