"""The settings of an operator, read from the environment once, checked and frozen."""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo

PREFIX = "CHENGMA_"
FILE = "_file"
MASK = "..."
"""Replaces a user and password in an address."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of one process. Each is read from the environment variable `CHENGMA_<NAME>`."""

    store: Annotated[
        str,
        Meta(
            pattern=r"^(sqlite:///|mongodb(\+srv)?://).+",
            description="the document store: `sqlite:///` plus a file path, or a `mongodb://` address",
        ),
    ] = "sqlite:///var/city.db"
    mongo_driver: Annotated[
        Literal["motor", "pymongo"],
        Meta(description="the MongoDB driver: motor, or PyMongo's own asyncio client (`pymongo`, recommended)"),
    ] = "motor"
    store_timeout_ms: Annotated[
        int,
        Meta(
            ge=100,
            le=60_000,
            description="the time limit of a store operation, retries included, and of its wait for a turn",
        ),
    ] = 3_000
    broker: Annotated[
        str,
        Meta(
            pattern=r"^(rediss?://.+|amqps?://.+)?$",
            description="the Redis or RabbitMQ for background work; if empty, the server does it in its own loop",
        ),
    ] = ""
    keys: Annotated[str, Meta(min_length=1, description="the folder of the city's keys")] = "var/keys"
    rules: Annotated[str, Meta(min_length=1, description="the folder of the rule modules")] = "rules"
    language: Annotated[
        Literal["", "zh", "en"],
        Meta(description="the language of the commands for rule authors; if empty, that of the terminal's locale"),
    ] = ""
    integrations: Annotated[
        str, Meta(min_length=1, description="the package whose modules implement the services' ports")
    ] = "integrations"
    sandbox: Annotated[
        str,
        Meta(
            min_length=1,
            description="the file of the sandboxes that replace a real insurance, bank and registries",
        ),
    ] = "var/sandbox.db"
    insurance_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://.+)?$",
            description="the address of the national medical insurance interface; if empty, its sandbox",
        ),
    ] = ""
    insurance_region: Annotated[
        str, Meta(pattern="^[0-9]{6}$", description="the region of the insurance (`mdtrtarea_admvs`)")
    ] = "330100"
    insurance_signature: Annotated[
        Literal["SM2", "SM3"], Meta(description="how messages to and from the insurance are signed (`signtype`)")
    ] = "SM2"
    insurance_key: Annotated[
        str,
        Meta(description="our private SM2 key, or the key of SM3, in hexadecimal: `chengma insurance keys`"),
    ] = ""
    insurance_public_key: Annotated[
        str, Meta(pattern="^[0-9a-fA-F]*$", description="the public SM2 key of the insurance, in hexadecimal")
    ] = ""
    api: Annotated[
        str,
        Meta(
            pattern=r"^(https?://.+)?$",
            description="the address of the API that `chengma login` signs in to; that of host and port if empty",
        ),
    ] = ""
    host: Annotated[str, Meta(min_length=1, description="the address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="the port to listen on")] = 8000
    mllp_host: Annotated[str, Meta(min_length=1, description="the address on which `chengma his listen` listens")] = (
        "127.0.0.1"
    )
    mllp_port: Annotated[
        int, Meta(ge=0, le=65535, description="the port of `chengma his listen`; 0 picks a free one")
    ] = 2575
    mllp_metrics_port: Annotated[
        int, Meta(ge=0, le=65535, description="the port for `/metrics` of `chengma his listen`; 0 for none")
    ] = 0
    mllp_certificate: Annotated[
        str,
        Meta(description="the listener's TLS certificate (PEM); without one, keep the port in a private network"),
    ] = ""
    mllp_key: Annotated[str, Meta(description="the key of that certificate (PEM)")] = ""
    mllp_clients: Annotated[
        str, Meta(description="the authorities whose client certificates the listener accepts (PEM)")
    ] = ""
    mllp_connections_per_address: Annotated[
        int,
        Meta(ge=1, le=100, description="the maximum number of one address's connections to the listener; 100 in all"),
    ] = 20
    time_zone: Annotated[str, Meta(description="the city's IANA time zone: dated rules change at its midnight")] = (
        "Asia/Shanghai"
    )
    phone_region: Annotated[
        str, Meta(pattern="^[A-Z]{2}$", description="the region of phone numbers without a + prefix")
    ] = "CN"
    development: Annotated[
        bool,
        Meta(description="true opens `/v1/development/*`, where anyone can read the codes sent by text message"),
    ] = False
    access_token_seconds: Annotated[int, Meta(ge=30, le=86_400, description="how long an access token is valid")] = 900
    refresh_token_days: Annotated[int, Meta(ge=1, le=365, description="how long a refresh token is valid")] = 30
    code_seconds: Annotated[int, Meta(ge=10, le=600, description="how long a code on a screen is valid")] = 60
    clock_skew_seconds: Annotated[
        int, Meta(ge=0, le=120, description="how far a verifier's clock may differ from ours")
    ] = 30
    body_bytes: Annotated[int, Meta(ge=1_000, le=100_000_000, description="the largest request body")] = 1_000_000
    request_target_ms: Annotated[
        int,
        Meta(
            ge=10,
            le=10_000,
            description="the mean time of a request that an overloaded process keeps by refusing others, images first",
        ),
    ] = 30
    connections: Annotated[
        int,
        Meta(
            ge=100,
            description="the maximum number of open connections; beyond it, those whose clients are idle are closed",
        ),
    ] = 4_000
    header_seconds: Annotated[
        int, Meta(ge=1, le=600, description="how long a client may take to send the headers of a request")
    ] = 10
    body_seconds: Annotated[
        int,
        Meta(
            ge=1,
            le=600,
            description="how long a client may take to send a body or read a response, plus a second for 4,000 bytes",
        ),
    ] = 20
    idle_seconds: Annotated[
        int,
        Meta(ge=1, le=3_600, description="how long a connection is kept for its next request; longer than a proxy's"),
    ] = 75
    metrics_port: Annotated[
        int, Meta(ge=0, le=65535, description="the port for Prometheus's `/metrics`; 0 for none")
    ] = 0
    traces: Annotated[
        str,
        Meta(
            pattern=r"^(https?://.+)?$",
            description="the OTLP/HTTP endpoint for traces, such as `http://collector:4318/v1/traces`; none if empty",
        ),
    ] = ""
    fhir_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://.+[^/])?$",
            description="the public address of `/fhir`, such as `https://city.example/fhir`, which the assertions of "
            "hospitals must name; that of host and port if empty",
        ),
    ] = ""
    access_log: Annotated[bool, Meta(description="write one JSON line per request to standard output")] = True
    person_requests_per_minute: Annotated[
        int, Meta(ge=1, description="the requests per minute of one signed-in person")
    ] = 120
    system_requests_per_minute: Annotated[
        int,
        Meta(ge=1, description="the requests per minute of one connected system, such as a hospital's"),
    ] = 30_000
    address_requests_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            description="the requests per minute of one network address without signing in; a captcha admits more",
        ),
    ] = 1_200
    venue_requests_per_minute: Annotated[
        int, Meta(ge=1, description="the scans per minute of all gate staff with the same venues")
    ] = 6_000
    sign_in_codes_per_minute: Annotated[
        int,
        Meta(
            ge=2,
            description="the sign-in codes per minute that the whole city sends to unknown devices; "
            "half of them without a captcha",
        ),
    ] = 6_000
    phone_countries: Annotated[
        str,
        Meta(
            pattern=r"^[1-9][0-9]{0,2}(, ?[1-9][0-9]{0,2})*$",
            description="the country calling codes of phones that get sign-in codes, besides that of the phone region; "
            "for Hong Kong, Macao and Taiwan as well: `86,852,853,886`",
        ),
    ] = "86"
    rate_limit_store: Annotated[
        str,
        Meta(
            pattern=r"^(rediss?://.+)?$",
            description="the Redis in which all processes count requests; if empty, the broker if it is a Redis, "
            "and otherwise each process counts alone",
        ),
    ] = ""
    trusted_proxies: Annotated[
        str,
        Meta(
            description="the networks of the proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, "
            "such as `10.0.0.0/8, 192.0.2.7`; none if empty",
        ),
    ] = ""


class InvalidSettings(Exception):
    """One or more settings are invalid. The message has one line for each."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings of environment variables. Raises InvalidSettings, which names every invalid one.

    A setting may also be read from a file: `CHENGMA_STORE_FILE=/run/secrets/store`. A password is then not visible in
    the environment, and the content of the file is never printed.
    """
    values: dict[str, Any] = {}
    errors: list[str] = []
    known = {setting.name: setting for setting in msgspec.structs.fields(Settings)}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        setting = known.get(name) or known.get(name.removesuffix(FILE))
        if setting is None:
            errors.append(f"{variable}: there is no such setting; `chengma settings` lists them")
            continue
        from_file = setting.name != name
        if from_file and f"{PREFIX}{setting.name.upper()}" in environment:
            errors.append(f"{variable}: {PREFIX}{setting.name.upper()} is set too; set only one of them")
            continue
        try:
            value = Path(text).read_text(encoding="utf-8").rstrip("\r\n") if from_file else text
            values[setting.name] = _converted(setting, value)
        except OSError as error:
            errors.append(f"{variable}={text!r}: cannot be read: {error.strerror}")
        except (msgspec.ValidationError, ValueError) as error:
            if from_file:
                errors.append(f"{variable}: the content of the file is invalid; {_description(setting.type)}")
            else:
                errors.append(f"{variable}={mask_credentials(text)!r}: {error}; {_description(setting.type)}")
    if errors:
        raise InvalidSettings("\n".join(errors))
    return Settings(**values)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(text: str) -> list[Network]:
    """Return the networks of a list such as `10.0.0.0/8, 192.0.2.7`. Raises ValueError."""
    return [ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()]


def mask_credentials(address: str) -> str:
    """Return an address for display: everything before the last @, which is a user and password, is masked.

    This includes misspelt addresses, and passwords with an unescaped `/`.
    """
    return re.sub(r"^(\w[\w+.-]*://)?.*@", rf"\1{MASK}@", address, flags=re.DOTALL)


def _converted(setting: FieldInfo, text: str) -> Any:  # noqa: ANN401  each setting has its own type
    """Return the value of a setting. Raises ValidationError or ValueError."""
    value: Any = msgspec.convert(text, setting.type, strict=False)
    if setting.name == "time_zone":
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, OSError, ValueError):
            raise ValueError("not an IANA time zone such as Asia/Shanghai") from None
    if setting.name == "trusted_proxies":
        parse_networks(value)
    return value


def settings_table() -> str:
    """Return the settings as a Markdown table, for the documentation."""
    rows = ["| variable | meaning | default |", "| --- | --- | --- |"]
    for setting in msgspec.structs.fields(Settings):
        default = str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default)
        rows.append(f"| `{PREFIX}{setting.name.upper()}` | {_description(setting.type)} | `{default}` |")
    return "\n".join(rows) + "\n"


def _description(annotation: Any) -> str:  # noqa: ANN401  any annotation
    described = msgspec.inspect.type_info(annotation)
    extra: dict[str, Any] = getattr(described, "extra_json_schema", None) or {}
    return str(extra.get("description", ""))
