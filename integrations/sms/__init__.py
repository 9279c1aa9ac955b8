"""Text messages to phones.

The default is the sandbox (`sandbox`), which sends nothing. To use a real provider, add a module next to it,
named after the provider, with a class that implements `Sms`, create it in `_make` from the settings, and omit `routes`.
"""

from backend.city.service import Integration
from backend.services.account.ports import Sms
from integrations.sms.sandbox import make, outbox_routes

integration = Integration(port=Sms, make=make, development=True, routes=outbox_routes)
