"""Keys of devices and gateways in tests, and the proofs that they sign."""

from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm


class Device:
    """A key on somebody's device, Ed25519 or P-256."""

    def __init__(self, algorithm: str = "EdDSA") -> None:
        self.algorithm = algorithm
        self.private: Any = Ed25519PrivateKey.generate() if algorithm == "EdDSA" else generate_private_key(SECP256R1())
        maker = OKPAlgorithm if algorithm == "EdDSA" else ECAlgorithm
        self.jwk: dict[str, Any] = maker.to_jwk(self.private.public_key(), as_dict=True)

    def proof(self, path: str, at: float, method: str = "POST", **claims: object) -> dict[str, str]:
        """Return the headers that prove that a request comes from this device."""
        return {"DPoP": self.signed("dpop+jwt", path, at, method, {"jwk": self.jwk}, claims)}

    def gateway_proof(self, name: str, user: str, path: str, at: float, method: str = "POST") -> dict[str, str]:
        """Return the headers with which a gateway sends the request of an end user."""
        return {"Gateway-Proof": self.signed("gateway+jwt", path, at, method, {}, {"iss": name, "sub": user})}

    def signed(
        self, kind: str, path: str, at: float, method: str, header: dict[str, Any], claims: dict[str, Any]
    ) -> str:
        """Return a proof with these claims, signed with the key."""
        body = {"jti": uuid4().hex, "htm": method, "htu": f"https://city.example{path}", "iat": int(at)} | claims
        return jwt.encode(body, self.private, algorithm=self.algorithm, headers={"typ": kind, **header})
