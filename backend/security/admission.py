"""Admits requests within their budgets, which go by person, device, gateway or network address.

A signed-in person is never limited by their address, since many people share one. A caller who is not signed in is
counted by address, with a budget for a large network, and solves a captcha beyond it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from backend.i18n import Text
from backend.problems import TooManyRequests
from backend.security.captcha import CAPTCHA_HEADER, Captcha, captcha_required
from backend.security.client_address import peer_of, subscriber
from backend.security.gateways import GATEWAY_HEADER, Gateways
from backend.security.rate_limits import Charge, RateLimits
from backend.security.request_counts import MinuteCounts
from backend.security.request_proofs import PROOF_SECONDS, invalid_proof, issuer_of_proof, verify_proof
from backend.settings import Settings
from backend.store import Store

SOLVED_SECONDS = 600
_ORIGIN = "origin"


class Admission:
    """Counts requests and the acts that cost more. One per process."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], datetime],
        limits: RateLimits | None = None,
        captcha: Captcha | None = None,
        store: Store | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._captcha = captcha
        self._store = store
        self._gateways = Gateways()
        self.limits = limits or RateLimits(clock)
        self.counts = MinuteCounts(limits)

    def count(self, subject: str, limit: int, now: float) -> None:
        """Count a request of a person, a venue or a system. Raises TooManyRequests above `limit` in one minute."""
        wait = self.counts.add(subject, limit, now)
        if wait:
            raise too_many_requests(wait)

    async def count_anonymous(self, scope: Any) -> None:  # noqa: ANN401  an ASGI scope
        """Count a request by its origin. Raises CaptchaRequired above the budget, and InvalidProof."""
        now = self._clock().timestamp()
        wait = self.counts.add(await self.origin(scope), self._settings.address_requests_per_minute, now)
        if wait and not await self._has_solved_captcha(scope):
            raise too_many_requests(wait) if self._captcha is None else captcha_required(self._captcha)

    async def spend(self, scope: Any, charges: Sequence[Charge]) -> None:  # noqa: ANN401  an ASGI scope
        """Count an act against budgets. Raises TooManyRequests if one is spent, CaptchaRequired if one runs low."""
        refusal = await self.limits.spend(charges, captcha_solved=self._captcha is None)
        if refusal is not None and refusal.needs_captcha and await self._has_solved_captcha(scope):
            refusal = await self.limits.spend(charges, captcha_solved=True)
        if refusal is None:
            return
        if refusal.needs_captcha and self._captcha is not None:
            raise captcha_required(self._captcha)
        raise too_many_requests(refusal.retry_after_seconds)

    async def origin(self, scope: Any) -> str:  # noqa: ANN401  an ASGI scope
        """Return what requests without a person are counted by: an address, or the end user of a gateway.

        Raises InvalidProof, and TooManyRequests for a gateway beyond its own budget.
        """
        state = scope["state"]
        if _ORIGIN not in state:
            proof = _header(scope, GATEWAY_HEADER)
            state[_ORIGIN] = (
                f"address {subscriber(peer_of(scope))}" if proof is None else await self._end_user(scope, proof)
            )
        return state[_ORIGIN]

    async def _end_user(self, scope: Any, proof: str) -> str:  # noqa: ANN401  an ASGI scope
        now = self._clock().timestamp()
        name = issuer_of_proof(proof, now)
        gateway = None if self._store is None else await self._gateways.get(self._store, name)
        if gateway is None:
            raise invalid_proof(now)
        claims = verify_proof(proof, gateway.public_key, scope["method"], scope["path"], now)
        if not claims.sub or not self.limits.used.add(f"{name} {claims.jti}", 2 * PROOF_SECONDS):
            raise invalid_proof(now)  # each process alone, because this is no act that costs a call to Redis
        self.count(f"gateway {name}", gateway.requests_per_minute, now)
        return f"end user {name} {subscriber(claims.sub)}"

    async def _has_solved_captcha(self, scope: Any) -> bool:  # noqa: ANN401  an ASGI scope
        response = _header(scope, CAPTCHA_HEADER)
        if self._captcha is None or response is None:
            return False
        solved = await self._captcha.solved(response)
        return solved is not None and await self.limits.spend_once(f"captcha {solved}", SOLVED_SECONDS)


def too_many_requests(seconds: int) -> TooManyRequests:
    """Return the Problem for a caller who must wait this many seconds."""
    wait = max(1, seconds)
    return TooManyRequests(
        Text(zh=f"操作太频繁，请{wait}秒后再试。", en=f"Too many requests; please try again in {wait} seconds."),
        headers={"Retry-After": str(wait)},
    )


def _header(scope: Any, header: str) -> str | None:  # noqa: ANN401  an ASGI scope
    wanted = header.encode()
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), None)
