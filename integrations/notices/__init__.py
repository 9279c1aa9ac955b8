"""A provider that pushes notices to people's phones. There is none by default: people read their kept notices.

To connect one, add a module next to this one, named after the provider, with a class that implements `Notifications`,
and create it in `_make` from the settings.
"""

from backend.city.service import Integration
from backend.city.upstream import Notifications
from backend.settings import Settings


def _make(_settings: Settings) -> Notifications | None:
    return None


integration = Integration(port=Notifications, make=_make, development=True)
