"""Keys for a city in a test."""

from pathlib import Path

from backend.security.keyring import make_keys


def new_keys(folder: Path) -> str:
    """Make the missing keys of a folder, and return it as the setting that names it."""
    make_keys(folder)
    return str(folder)
