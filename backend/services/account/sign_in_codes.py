"""Issue sign-in codes and check them."""

import secrets

from backend.city.service import City
from backend.services.account.accounts import phone_digest_of
from backend.services.account.devices import AnyRequest, admission_of
from backend.services.account.model.account import country_code, country_code_of_region
from backend.services.account.model.budgets import check_country, code_charges_of_device, code_charges_of_stranger
from backend.services.account.model.sign_in import SignInChallenge, check_code, new_challenge, new_code, wrong_code
from backend.store.update import update_document


async def spend_code_budget(city: City, request: AnyRequest, phone: str, known_device: str | None) -> None:
    """Count a message to a phone against the budgets of a known device, or else of strangers.

    Raises ForeignPhone, TooManyRequests and CaptchaRequired.
    """
    settings = city.settings
    home, code = country_code_of_region(settings.phone_region), country_code(phone)
    allowed = (home, *(part.strip() for part in settings.phone_countries.split(",")))
    check_country(code, tuple(dict.fromkeys(allowed)))
    admission, phone_digest = admission_of(request), phone_digest_of(city, phone)
    if known_device is not None:
        charges = code_charges_of_device(phone_digest, known_device)
    else:
        origin = await admission.origin(request.scope)
        charges = code_charges_of_stranger(
            phone_digest, origin, code, home=code == home, city_per_minute=settings.sign_in_codes_per_minute
        )
    await admission.spend(request.scope, charges)


async def issue_code(city: City, phone: str) -> tuple[str, str]:
    """Store a new challenge for a phone; return its id, for the caller, and its code, for the phone."""
    phone_digest = phone_digest_of(city, phone)
    challenge_id, code = secrets.token_urlsafe(16), new_code()
    digest = _digest(city, challenge_id, code)
    await city.store.insert(new_challenge(challenge_id, phone_digest, digest, city.now()))
    return challenge_id, code


async def verify_phone(city: City, phone: str, challenge_id: str, code: str) -> None:
    """Verify that the caller holds a phone, by a challenge and its code. Raises WrongCode or CodeExhausted.

    An attempt is stored before its result is used, so that concurrent attempts are counted one by one.
    """
    phone_digest = phone_digest_of(city, phone)
    digest = _digest(city, challenge_id, code)
    challenge = await update_document(
        city.store,
        lambda: city.store.get(SignInChallenge, challenge_id),
        lambda challenge: check_code(challenge, phone_digest, digest, city.now()),
    )
    if challenge is None or not challenge.used:
        raise wrong_code()


def _digest(city: City, challenge_id: str, code: str) -> str:
    return city.encryption.digest("sign-in-code", f"{challenge_id}\n{code}")
