"""Publish the keys with which anyone verifies the city's codes."""

from litestar import Response, get
from litestar.di import NamedDependency

from backend.city.service import City
from backend.security.identity import public
from backend.security.keyring import JWKS_SECONDS
from backend.services.account.api.schemas import PublicKeys


@get("/.well-known/jwks.json", guards=[public], priority="essential")
async def show_public_keys(city: NamedDependency[City]) -> Response[PublicKeys]:
    """Show the public keys that verify the city's codes, also offline."""
    keys = PublicKeys(city.keys.jwks()["keys"])
    return Response(keys, headers={"Cache-Control": f"public, max-age={JWKS_SECONDS}"})
