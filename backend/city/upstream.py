"""External systems that several services use: errors of a call, a bank's answers and notifications, notices to people.

All ids are made by us, and every call may be made again with the same id: it is then answered as it was before.
"""

from typing import Annotated, Literal, Protocol, runtime_checkable

from litestar.params import HeaderParameter
from msgspec import Struct

from backend.i18n import Text
from backend.problems import Problem


class UpstreamTimeout(Exception):
    """No answer came in time; whether the call took effect is unknown."""


class UpstreamRejected(Exception):
    """The upstream refused the call and said why; repeating it unchanged is of no use."""


class UpstreamUnavailable(Problem):
    """A registry, bank or insurer that this request needs does not answer at present."""

    status, title = 503, "Upstream unavailable"


class BankAnswer(Struct, frozen=True):
    """What became of money that was to be moved.

    `pending` says that the bank has it and will decide later; `unknown` that the bank never got it.
    """

    outcome: Literal["done", "failed", "pending", "unknown"]
    receipt: str | None = None
    reason: str | None = None


class ForgedNotice(Exception):
    """A notice that claims to be the bank's does not carry its signature."""


class BankNotice(Struct, frozen=True):
    """What the bank tells by itself, perhaps late, perhaps twice: what became of money that we had it move."""

    id: str
    answer: BankAnswer


BankSignature = Annotated[str, HeaderParameter(name="Bank-Signature", max_length=1_000)]
"""The header in which the bank signs its notices."""


@runtime_checkable
class Notifications(Protocol):
    """Brings notices to people's phones."""

    async def notify(self, person: str, text: Text) -> None:
        """Tell a person (the id of a Profile). Raises Silent."""
        ...
