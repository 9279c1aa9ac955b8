"""Text messages to phones.

The default is the sandbox (`sandbox`), which sends nothing. To use a real provider, add a module next to it,
named after the provider, with a class that implements `Sms`, create it in `_make` from the settings, and omit `routes`.
"""

from backend.city.service import Integration
from backend.services.account.ports import Sms
from backend.settings import Settings
from integrations.sms.sandbox import SandboxSms, outbox_routes


def _make(settings: Settings) -> Sms:
    return SandboxSms(use_outbox=settings.development)


integration = Integration(port=Sms, make=_make, development=True, routes=outbox_routes)
