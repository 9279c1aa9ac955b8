"""Captchas, which callers solve when a budget of requests runs low.

The default is a proof of work (`proof_of_work`), which needs no other system and nobody's eyes. To use a provider, add
a module next to it, named after the provider, with a class that implements `Captcha`, and create it in `_make`.
"""

from backend.city.service import Integration
from backend.security.captcha import Captcha
from backend.settings import Settings
from integrations.captcha.proof_of_work import ProofOfWork


def _make(settings: Settings) -> Captcha:
    return ProofOfWork(settings.keys)


integration = Integration(port=Captcha, make=_make, development=True)
