"""Issue sign-in codes and check them."""

from backend.city.service import City
from backend.security.identity import too_many_requests
from backend.services.account.accounts import phone_digest_of
from backend.services.account.model.sign_in import (
    SignInChallenge,
    check_code,
    new_challenge,
    new_code,
    renew_challenge,
    seconds_until_resend,
    wrong_code,
)
from backend.store.update import create_or_update, update_document


async def issue_code(city: City, phone: str) -> str:
    """Store a new code for a phone and return it. Raises TooManyRequests if the last one is too recent.

    One of several concurrent requests gets a code.
    """
    now = city.now()
    phone_digest = phone_digest_of(city, phone)
    code = new_code()
    code_digest = _digest(city, phone_digest, code)

    def renewed(challenge: SignInChallenge) -> SignInChallenge:
        wait = seconds_until_resend(challenge, now)
        if wait:
            raise too_many_requests(wait)
        return renew_challenge(challenge, code_digest, now)

    await create_or_update(city.store, new_challenge(phone_digest), renewed)
    return code


async def verify_phone(city: City, phone: str, code: str) -> None:
    """Verify that the caller holds a phone, by the code sent to it. Raises WrongCode or CodeExhausted.

    An attempt is stored before its result is used, so that concurrent attempts are counted one by one.
    """
    phone_digest = phone_digest_of(city, phone)
    code_digest = _digest(city, phone_digest, code)
    challenge = await update_document(
        city.store,
        lambda: city.store.get(SignInChallenge, phone_digest),
        lambda challenge: check_code(challenge, code_digest, city.now()),
    )
    if challenge is None or not challenge.used:
        raise wrong_code()


def _digest(city: City, phone_digest: str, code: str) -> str:
    return city.encryption.digest("sign-in-code", f"{phone_digest}\n{code}")
