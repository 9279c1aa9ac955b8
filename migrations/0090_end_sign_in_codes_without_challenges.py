"""A sign-in code belongs to a challenge; those sent before have none, so they are ended and deleted within a day."""

from typing import Any

COLLECTION = "sign_in_challenges"


def change(body: dict[str, Any]) -> dict[str, Any] | None:
    """Put the phone's hash, which was the id, into `phone_digest`, and end the code."""
    if "phone_digest" in body:
        return None
    return {name: value for name, value in body.items() if name != "sent"} | {
        "phone_digest": body["id"],
        "used": True,
    }
