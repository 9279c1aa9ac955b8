"""The handler for notifications from the bank."""

from litestar import Request, post
from litestar.datastructures import State
from litestar.di import NamedDependency

from backend.city.service import City
from backend.city.upstream import BankSignature
from backend.paylater.transfers import receive_notice
from backend.problems import NotAllowed
from backend.security.identity import public
from backend.services.medical_credit.saga import visit_saga


@post("/v1/bank-notices", guards=[public], status_code=202, problems=(NotAllowed,))
async def receive_bank_notice(
    request: Request[None, None, State], city: NamedDependency[City], bank_signature: BankSignature
) -> None:
    """Receive the bank's notification of the outcome of a payment or refund.

    A late or repeated notification does not change a recorded outcome.
    """
    await receive_notice(city, visit_saga, await request.body(), bank_signature)
