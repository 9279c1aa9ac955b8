"""External systems that several services use: errors of a call, a bank's answers and notices, notifications to people.

We create all ids, and every call may be repeated with the same id: it returns the first answer.
"""

import asyncio
from collections.abc import Awaitable, Generator
from contextlib import contextmanager
from typing import Annotated, Literal, Protocol, TypeVar, runtime_checkable

from litestar.params import HeaderParameter
from msgspec import Struct

from backend.i18n import Text
from backend.problems import NotAllowed, Problem

T = TypeVar("T")

UPSTREAM_TIMEOUT_SECONDS = 3.0
"""An upstream that has not answered by then has timed out; a citizen is waiting."""


class UpstreamTimeout(Exception):
    """No answer arrived in time; it is unknown whether the call took effect."""


class UpstreamRejected(Exception):
    """The upstream rejected the call with a reason; repeating it unchanged does not help."""


async def with_timeout(answer: Awaitable[T]) -> T:
    """Wait for an upstream's answer for a limited time. Raises UpstreamTimeout."""
    try:
        async with asyncio.timeout(UPSTREAM_TIMEOUT_SECONDS):
            return await answer
    except TimeoutError as error:
        raise UpstreamTimeout("no answer came in time") from error


class UpstreamUnavailable(Problem):
    """A registry, bank or insurer that this request needs does not answer now."""

    status, title, title_zh = 503, "Upstream unavailable", "对方系统暂时无法访问"


@contextmanager
def answer_required(zh: str, en: str) -> Generator[None, None, None]:
    """Raise UpstreamUnavailable with this detail, and `Retry-After` of a minute, if an upstream times out within."""
    try:
        yield
    except UpstreamTimeout as error:
        raise UpstreamUnavailable(zh=zh, en=en, headers={"Retry-After": "60"}) from error


class BankAnswer(Struct, frozen=True):
    """The outcome of a transfer of money.

    `pending`: the bank has the order and will decide later. `unknown`: the bank never received the order.
    """

    outcome: Literal["done", "failed", "pending", "unknown"]
    receipt: str | None = None
    reason: str | None = None


class ForgedNotice(Exception):
    """A notice that claims to come from the bank does not have its signature."""


class BankNotice(Struct, frozen=True):
    """An unprompted message of the bank about a transfer that we ordered; it may be late or repeated."""

    id: str
    answer: BankAnswer


class NotifyingBank(Protocol):
    """A bank that sends signed notices."""

    def read_notice(self, body: bytes, signature: str) -> BankNotice:
        """Verify and decode a notice of the bank. Raises ForgedNotice, or InvalidRequest if it repeats a key."""
        ...


def verified_notice(bank: NotifyingBank, body: bytes, signature: str) -> BankNotice:
    """Return the notice in a request. Raises NotAllowed if the signature is not the bank's."""
    try:
        return bank.read_notice(body, signature)
    except ForgedNotice as error:
        raise NotAllowed(
            zh="签名无效。", en="The signature is not the bank's; check the Bank-Signature header."
        ) from error


BankSignature = Annotated[str, HeaderParameter(name="Bank-Signature", max_length=1_000)]
"""The header in which the bank signs its notices."""


@runtime_checkable
class Notifications(Protocol):
    """Pushes notices to people's phones. A city needs no provider: `backend.city.notices` keeps each notice."""

    async def notify(self, notice: str, recipient: str, text: Text) -> None:
        """Push the text of a notice to a recipient, the id of a Person or an Account; a repeated notice is pushed once.

        Raises UpstreamTimeout, or UpstreamRejected if the recipient has no phone to push to.
        """
        ...
