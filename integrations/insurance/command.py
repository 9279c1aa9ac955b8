"""`chengma insurance`: keys for the national interface, and a sandbox of it over HTTP."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import click
import uvicorn

from backend.cli.errors import load_settings
from integrations._sandbox.database import SandboxDatabase
from integrations.insurance.national_sandbox import NationalSandbox
from integrations.insurance.sandbox import SandboxInsurance
from integrations.insurance.sandbox_server import asgi_application
from integrations.insurance.signatures import SigningKeys, new_key_pair


@click.group()
def insurance() -> None:
    """Connect the national medical insurance interface, or try it with a sandbox."""


@insurance.command("keys")
def keys() -> None:
    """Print a new SM2 key pair, in hexadecimal: the private key, then the public key."""
    private, public = new_key_pair()
    click.echo(f"private {private}\npublic  {public}")


@insurance.command("sandbox")
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65_535))
@click.option("--type", "signature", default="SM2", show_default=True, type=click.Choice(["SM2", "SM3"]))
@click.option("--own", required=True, help="Its private SM2 key, or the key of SM3, in hexadecimal.")
@click.option("--other", default="", help="The city's public SM2 key, in hexadecimal.")
def sandbox(port: int, signature: str, own: str, other: str) -> None:
    """Serve a sandbox of the interface on 127.0.0.1 until interrupted, on the books of CHENGMA_SANDBOX."""
    settings = load_settings()
    books = SandboxInsurance(SandboxDatabase(settings.sandbox), ZoneInfo(settings.time_zone))
    signing = SigningKeys("SM3" if signature == "SM3" else "SM2", own, other)
    uvicorn.run(
        asgi_application(NationalSandbox(books, signing)), host="127.0.0.1", port=port, lifespan="off", access_log=False
    )
