"""Notifications to people's phones.

The default is the sandbox (`sandbox`), which sends nothing. To use a real provider, add a module next to it,
named after the provider, with a class that implements `Notices`, and create it in `_make` from the settings.
"""

from backend.city.service import Integration
from backend.city.upstream import Notifications
from backend.settings import Settings
from integrations.notices.sandbox import SandboxNotices


def _make(_settings: Settings) -> Notifications:
    return SandboxNotices()


integration = Integration(port=Notifications, make=_make, development=True)
