"""What a hospital does, by hand: `chengma his send` sends a message, `his key` makes a key, `his assertion` signs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, cast

import click
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from integrations.his.conformance.command import mllp_address
from integrations.his.hl7v2.mllp_client import MllpClient
from integrations.his.public_keys import named


@click.command("send")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mllp", required=True, help="HOST:PORT of the MLLP listener.")
@click.option(
    "--encoding",
    default="utf-8",
    show_default=True,
    type=click.Choice(["utf-8", "gb18030"]),
    help="Encoding in which the message is sent.",
)
def send(file: Path | None, mllp: str, encoding: str) -> None:
    """Send the HL7 v2 message in FILE, or on standard input, and print the answer.

    Each line of the text is a segment. Exits with 1 unless the answer is AA or CA.
    """
    host, port = mllp_address(mllp)
    text = file.read_text("utf-8") if file is not None else sys.stdin.read()
    message = "\r".join(text.strip().splitlines()) + "\r"
    try:
        answer = asyncio.run(_exchange(host, port, message.encode(encoding))).decode(encoding)
    except (OSError, TimeoutError) as error:
        raise click.ClickException(f"no answer from {mllp}: {error or 'it took too long'}") from error
    click.echo(answer.replace("\r", "\n").rstrip())
    if "\rMSA|AA" not in answer and "\rMSA|CA" not in answer:
        raise click.exceptions.Exit(1)


async def _exchange(host: str, port: int, message: bytes) -> bytes:
    async with MllpClient(host, port) as client:
        await client.send(message)
        return await client.receive()


@click.command("key")
@click.option("--private", default="private.jwk", show_default=True, type=click.Path(path_type=Path))
@click.option("--public", default="keys.json", show_default=True, type=click.Path(path_type=Path))
def key_(private: Path, public: Path) -> None:
    """Make the key pair with which a hospital signs in over FHIR (EC P-384), and store it in two new files.

    The private key (JWK) stays with the hospital. `his hospitals add --jwks` registers the public key (JWK Set).
    """
    pair = named({**ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()), as_dict=True), "alg": "ES384"})
    public_key = {name: value for name, value in pair.items() if name != "d"}
    for file in (private, public):
        if file.exists():
            raise click.ClickException(f"{file} exists already; a key is never overwritten")
    for file, content, mode in ((private, pair, 0o600), (public, {"keys": [public_key]}, 0o644)):
        with open(file, "x", encoding="utf-8", opener=partial(os.open, mode=mode)) as new:
            json.dump(content, new)
    click.echo(f"{private} is the private key {pair['kid']}; keep it. {public} is its public key; register it.")


@click.command("assertion")
@click.argument("hospital")
@click.option(
    "--key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the hospital's private key (JWK).",
)
@click.option("--fhir", required=True, help="Base URL of the FHIR server, such as http://127.0.0.1:8000/fhir")
def assertion(hospital: str, key: Path, fhir: str) -> None:
    """Print a client assertion of HOSPITAL: a signed JWT for one token request, valid for four minutes."""
    from integrations.his.conformance.fhir_checks import FhirTester

    try:
        private = cast("dict[str, Any]", json.loads(key.read_bytes()))
        signed = FhirTester(fhir, hospital, "", private).assertion()
    except (ValueError, KeyError, TypeError, RecursionError, jwt.PyJWTError) as error:
        raise click.ClickException(f"{key} is not a private JSON Web Key") from error
    click.echo(signed)
