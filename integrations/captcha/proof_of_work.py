"""A proof of work in the manner of Hashcash: find a number so that a hash begins with enough zero bits.

A puzzle is signed with the city's key and carries its own end, so every process can check it and none remembers it.
"""

import hmac
import secrets
import time
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from backend.security.keyring import Keyring, encode_segment

BITS = 18
"""On average 2^18 hashes: a fraction of a second on a phone."""

PUZZLE_SECONDS = 300
MAX_RESPONSE_CHARACTERS = 200


class ProofOfWork:
    """Makes puzzles and checks their solutions."""

    def __init__(self, keys: str) -> None:
        self._keys = keys

    def challenge(self) -> dict[str, Any]:
        """Return a puzzle, and how to solve it."""
        text = f"{BITS}.{int(time.time()) + PUZZLE_SECONDS}.{secrets.token_urlsafe(12)}"
        puzzle = f"{text}.{_signature(self._keyring.current('token').material, text)}"
        return {
            "kind": "proof-of-work",
            "algorithm": "SHA-256",
            "puzzle": puzzle,
            "zero_bits": BITS,
            "expires_in_seconds": PUZZLE_SECONDS,
            "header": "Captcha-Response",
            "format": "<puzzle>:<number>, whose SHA-256 begins with this many zero bits",
        }

    async def solved(self, response: str) -> str | None:
        """Return the puzzle that a response solves, or None."""
        puzzle, _, number = response.rpartition(":")
        text, _, signature = puzzle.rpartition(".")
        bits, _, rest = text.partition(".")
        expires, _, _ = rest.partition(".")
        if len(response) > MAX_RESPONSE_CHARACTERS or not (number.isascii() and number.isdigit()):
            return None
        keys = self._keyring.keys("token")
        if not any(hmac.compare_digest(_signature(key.material, text).encode(), signature.encode()) for key in keys):
            return None
        digest = int.from_bytes(sha256(response.encode()).digest())
        return puzzle if digest >> (256 - int(bits)) == 0 and int(expires) > time.time() else None

    @cached_property
    def _keyring(self) -> Keyring:
        return Keyring.open(Path(self._keys))


def _signature(key: bytes, text: str) -> str:
    return encode_segment(hmac.digest(key, f"captcha\0{text}".encode(), "sha256")).decode()


def solve(puzzle: str, bits: int) -> str:
    """Return the response that solves a puzzle, as an app finds it."""
    begun, number = sha256(f"{puzzle}:".encode()), 0
    while True:
        attempt = begun.copy()
        attempt.update(str(number).encode())
        if int.from_bytes(attempt.digest()) >> (256 - bits) == 0:
            return f"{puzzle}:{number}"
        number += 1
