"""The budgets of signing in: what strangers may spend, and what only a known device of the account may spend.

Anyone can ask for a code to any phone. Such requests share the strangers' budgets of the phone, the sender and the
city. A device that has signed in to the account before signs its requests and has a budget of its own. Strangers can
therefore neither keep its owner from signing in nor flood the phone.
"""

from collections.abc import Sequence

from backend.i18n import Text
from backend.problems import FieldError, Problem
from backend.security.rate_limits import Budget, Charge
from backend.services.account.model.sign_in import RESEND_SECONDS

HOUR, DAY = 3_600, 86_400

STRANGERS_CODES_PER_HOUR = 6
DEVICES_CODES_PER_HOUR = 4
MESSAGES_PER_HOUR = STRANGERS_CODES_PER_HOUR + DEVICES_CODES_PER_HOUR
"""The messages that a phone gets in an hour at most."""

RESEND = Budget("code-resend", 1, RESEND_SECONDS)
FROM_ONE_ORIGIN = Budget("code-phone-origin", 4, HOUR)
FROM_STRANGERS = Budget("code-phone-hour", STRANGERS_CODES_PER_HOUR, HOUR, free=4)
FROM_STRANGERS_A_DAY = Budget("code-phone-day", 40, DAY, free=10)
OF_AN_ORIGIN = Budget("code-origin", 2_000, HOUR, free=100)
OF_A_FOREIGN_COUNTRY = Budget("code-country", 60, 60, free=20)
FROM_DEVICE = Budget("code-device", 3, HOUR)
FROM_DEVICES = Budget("code-devices", DEVICES_CODES_PER_HOUR, HOUR)

ATTEMPTS = Budget("sign-in-origin", 20_000, HOUR, free=1_000)
ATTEMPTS_OF_DEVICE = Budget("sign-in-device", 30, HOUR)
FAILED_REFRESHES = Budget("refresh-failed", 6_000, HOUR, free=60)
REFRESHES = Budget("refresh", 60, HOUR)


class ForeignPhone(Problem):
    """The city sends no codes to phones of this country; `country_codes` are those to which it does."""

    status, title, title_zh = 400, "Foreign phone", "不支持该国家或地区的手机号"


def code_charges_of_stranger(
    phone_digest: str, origin: str, country_code: str, home: bool, city_per_minute: int
) -> Sequence[Charge]:
    """Return what a code costs that no known device has asked for."""
    city = Budget("code-city", city_per_minute, 60, free=city_per_minute // 2)
    return (
        Charge(OF_AN_ORIGIN, origin),
        *(() if home else (Charge(OF_A_FOREIGN_COUNTRY, country_code),)),
        Charge(city, "city"),
        Charge(RESEND, f"{phone_digest} {origin}"),
        Charge(FROM_ONE_ORIGIN, f"{phone_digest} {origin}"),
        Charge(FROM_STRANGERS, phone_digest),
        Charge(FROM_STRANGERS_A_DAY, phone_digest),
    )


def code_charges_of_device(phone_digest: str, device_id: str) -> Sequence[Charge]:
    """Return what a code costs that a known device of the phone's account has asked for."""
    subject = f"{phone_digest} {device_id}"
    return Charge(RESEND, subject), Charge(FROM_DEVICE, subject), Charge(FROM_DEVICES, phone_digest)


def check_country(code: str, allowed: Sequence[str]) -> None:
    """Check that the city sends codes to phones of this country calling code. Raises ForeignPhone."""
    if code in allowed:
        return
    codes = ", ".join(f"+{one}" for one in allowed)
    detail = Text(
        zh=f"本市暂不支持 +{code} 的手机号，请使用 {codes} 的手机号。",
        en=f"This city does not send codes to phones with +{code}. Use a phone with one of: {codes}.",
    )
    error = FieldError("/phone", f"use a phone with one of: {codes}", f"请使用 {codes} 的手机号")
    raise ForeignPhone(detail, errors=(error,), country_codes=tuple(allowed))
