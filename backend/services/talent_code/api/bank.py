"""The route for the bank's notices about payouts and collections."""

from litestar import Request, post
from litestar.datastructures import State
from litestar.di import NamedDependency

from backend.city.service import City
from backend.city.upstream import BankSignature, ForgedNotice
from backend.i18n import Text
from backend.jobs.tasks import TaskReference
from backend.problems import NotAllowed
from backend.security.identity import public
from backend.services.talent_code.ports import PayoutBank
from backend.services.talent_code.saga import record_collection, record_payout

advance_claim = TaskReference("talent_code.advance_claim")


@post("/v1/payout-notices", guards=[public], status_code=202, problems=(NotAllowed,))
async def receive_payout_notice(
    request: Request[None, None, State], city: NamedDependency[City], bank_signature: BankSignature
) -> None:
    """Receive the bank's notice about a payout or collection; a late or repeated one changes no earlier decision."""
    try:
        notice = city.port(PayoutBank).read_notice(await request.body(), bank_signature)
    except ForgedNotice as error:
        raise NotAllowed(Text(zh="签名无效。", en="The notice does not carry the bank's signature.")) from error
    claim_id, _, kind = notice.id.partition("/")
    record = record_payout if kind.startswith("payout/") else record_collection
    await record(city, claim_id, notice.id, notice.answer)
    await advance_claim.enqueue(city.jobs, claim_id)
