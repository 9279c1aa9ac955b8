"""The devices of an account: keys that its apps have made and registered by signing in with them."""

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

MAX_DEVICES = 10
"""The devices that an account remembers; the one that was unused for longest is forgotten first."""

SILENCE = timedelta(days=90)
"""[A] A phone whose account was unused for this long may belong to somebody else now; as of 2026-11-29. In mainland
China a carrier may assign a cancelled number again after 90 days."""

USE_RECORDED_SINCE = datetime.fromisoformat("2026-11-29T00:00:00+00:00")
"""Accounts record when they are used since this edition, so silence before it is unknown and does not count."""


class Device(Struct, frozen=True):
    """A device that an account has signed in with; `id` is the thumbprint of its public key."""

    id: str
    added: datetime
    last_used: datetime


def knows_device(devices: tuple[Device, ...], device_id: str | None) -> bool:
    """Return whether a device is one of these; a request without a proof comes from none."""
    return device_id is not None and any(device.id == device_id for device in devices)


def used_devices(devices: tuple[Device, ...], device_id: str | None, now: datetime) -> tuple[Device, ...]:
    """Return the devices after this one was used now; it is added if it is new."""
    if device_id is None:
        return devices
    known = next((device for device in devices if device.id == device_id), Device(device_id, now, now))
    others = sorted((device for device in devices if device.id != device_id), key=lambda device: device.last_used)
    return (*others[-(MAX_DEVICES - 1) :], replace(known, last_used=now))
