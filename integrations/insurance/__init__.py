"""The medical insurance, which settles claims: the national interface if its address is set, else a sandbox.

`national.py` speaks the interface, in envelopes (`envelope.py`) that are signed (`signatures.py`).
`national_sandbox.py` answers it over HTTP on the books of `sandbox.py`, which a city without an insurance uses
directly.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import click

from backend.city.service import Integration
from backend.services.medical_credit.ports import Insurance
from backend.settings import InvalidSettings, Settings
from integrations.insurance.national import Connection, NationalInsurance
from integrations.insurance.sandbox import open_sandbox
from integrations.insurance.signatures import SigningKeys


def _make(settings: Settings) -> Insurance:
    if not settings.insurance_url:
        return open_sandbox(settings)
    keys = SigningKeys(settings.insurance_signature, settings.insurance_key, settings.insurance_public_key)
    if not keys.are_complete():
        raise InvalidSettings(
            "CHENGMA_INSURANCE_KEY and, for SM2, CHENGMA_INSURANCE_PUBLIC_KEY must be keys in hexadecimal; "
            "`chengma insurance keys` makes a pair"
        )
    connection = Connection(
        url=settings.insurance_url,
        region=settings.insurance_region,
        keys=keys,
        time_zone=ZoneInfo(settings.time_zone),
    )
    return NationalInsurance(connection, lambda: datetime.now(UTC))


def _command() -> click.Command:
    from integrations.insurance.command import insurance  # the server is needed by the command alone

    return insurance


integration = Integration(port=Insurance, make=_make, development=True, command=_command)
