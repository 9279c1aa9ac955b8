"""Notices to people's phones. The embedded default sends none: it writes to the log that there was one."""

import logging

from backend.city.service import Integration
from backend.city.upstream import Notifications
from backend.i18n import Text
from backend.settings import Settings

_log = logging.getLogger("chengma.notices")


class LoggedNotices:
    """Writes to the log that a notice went out, without whom it went to and what it says."""

    async def notify(self, person: str, text: Text) -> None:
        """Tell a person."""
        assert person, "somebody is told"
        _log.info("notice of %d characters", len(text.zh))


def _make(_settings: Settings) -> Notifications:
    return LoggedNotices()


integration = Integration(port=Notifications, make=_make)
