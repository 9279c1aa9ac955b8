"""What several services need from outside the city, and what may become of asking: a bank's word, notices, and silence.

All ids are made by us, and every call may be made again with the same id: it is then answered as it was before.
"""

from typing import Annotated, Literal, Protocol, runtime_checkable

from litestar.params import HeaderParameter
from msgspec import Struct

from backend.problems import Problem
from backend.text import Text


class Silent(Exception):
    """No answer came in time; whether the call was carried out is not known."""


class Refused(Exception):
    """The other side answered that it will not do this, and why; asking again in the same way is of no use."""


class RegistryAway(Problem):
    """A registry of the city does not answer now, and without it nothing can be decided."""

    status, title = 503, "Registry away"


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
class Notices(Protocol):
    """Brings notices to people's phones."""

    async def tell(self, person: str, text: Text) -> None:
        """Tell a person (the id of a Profile). Raises Silent."""
        ...
