"""The route for the bank's notices about payouts and collections."""

from litestar import Request, post
from litestar.datastructures import State
from litestar.di import NamedDependency

from backend.benefits.claims import receive_notice
from backend.city.service import City
from backend.city.upstream import BankSignature
from backend.problems import NotAllowed
from backend.security.identity import public
from backend.services.talent_code.saga import claims


@post("/v1/payout-notices", guards=[public], status_code=202, problems=(NotAllowed,))
async def receive_payout_notice(
    request: Request[None, None, State], city: NamedDependency[City], bank_signature: BankSignature
) -> None:
    """Receive the bank's notice about a payout or collection; a late or repeated one changes no earlier decision."""
    await receive_notice(claims, city, await request.body(), bank_signature)
