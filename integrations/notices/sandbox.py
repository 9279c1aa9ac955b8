"""The sandbox of a notification provider: writes to the log that a notification was sent."""

import logging

from backend.i18n import Text

_log = logging.getLogger("chengma.notices")


class SandboxNotices:
    """Logs each notification, without the person and the text; sends nothing."""

    async def notify(self, person: str, text: Text) -> None:
        """Log a notification to a person."""
        assert person, "a notification has a recipient"
        _log.info("notification of %d characters", len(text.zh))
