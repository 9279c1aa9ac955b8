"""Tell which device a request comes from, by the proof that the app signs with the key of the device."""

from typing import Any, cast

from litestar import Request
from litestar.datastructures import State

from backend.city.service import City
from backend.security.admission import Admission
from backend.security.identity import Access
from backend.security.request_proofs import PROOF_SECONDS, invalid_proof, key_of_proof, verify_proof
from backend.services.account.accounts import find_account
from backend.services.account.model.account import Account, used_account
from backend.services.account.model.device import knows_device
from backend.store.update import update_document

AnyRequest = Request[Any, Any, State]


def admission_of(request: AnyRequest) -> Admission:
    """Return the budgets of this process."""
    return cast("Access", request.app.state.access).admission


async def proven_device(request: AnyRequest, city: City, *, nonce: str | None = None, once: bool = False) -> str | None:
    """Return the id of the device that sends a request, or None without a proof. Raises InvalidProof.

    `nonce` is the challenge that the proof must answer, if there is one. With `once`, a proof is accepted once; other
    requests carry a challenge or a refresh token, which are themselves used once.
    """
    proof = request.headers.get("dpop")
    if proof is None:
        return None
    now = city.now().timestamp()
    key = key_of_proof(proof, now)
    claims = verify_proof(proof, key, request.method, request.scope["path"], now)
    device = key.thumbprint
    if nonce is not None and claims.nonce != nonce:
        raise invalid_proof(now)
    if once and not await admission_of(request).limits.spend_once(f"{device} {claims.jti}", 2 * PROOF_SECONDS):
        raise invalid_proof(now)
    return device


async def is_known_device(city: City, phone: str, device: str | None) -> bool:
    """Return whether a device has signed in to the account of a phone before."""
    account = None if device is None else await find_account(city, phone)
    return account is not None and knows_device(account.devices, device)


async def record_use(city: City, account: Account, device: str | None) -> Account:
    """Store that an account was used now with this device, which it knows from now on."""
    now = city.now()
    stored = await update_document(
        city.store,
        lambda: city.store.get(Account, account.id),
        lambda latest: used_account(latest, device, now),
        account,
    )
    return stored or account
