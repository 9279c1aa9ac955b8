"""What an operator may set, read from the environment once, checked, and then frozen."""

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
"""What stands in the place of a user and their password."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of one process. Each is read from the environment variable `CHENGMA_<NAME>`."""

    store: Annotated[
        str,
        Meta(
            pattern=r"^(sqlite:///|mongodb(\+srv)?://).+",
            description="where documents live: `sqlite:///` and a file's path, or a `mongodb://` address",
        ),
    ] = "sqlite:///var/city.db"
    mongo_driver: Annotated[
        Literal["motor", "pymongo"], Meta(description="what speaks to MongoDB: motor, or PyMongo's own asyncio client")
    ] = "motor"
    store_timeout_ms: Annotated[
        int,
        Meta(
            ge=100,
            le=60_000,
            description="how long an operation of the store may take, retries included, or wait for its turn",
        ),
    ] = 3_000
    broker: Annotated[
        str,
        Meta(
            pattern=r"^(rediss?://.+|amqps?://.+)?$",
            description="the Redis or RabbitMQ that carries background work; with none the server does it itself",
        ),
    ] = ""
    keys: Annotated[str, Meta(min_length=1, description="the folder of the city's keys")] = "var/keys"
    rules: Annotated[str, Meta(min_length=1, description="the folder of the rule modules")] = "rules"
    integrations: Annotated[
        str, Meta(min_length=1, description="the package whose modules implement the services' ports")
    ] = "integrations"
    sandbox: Annotated[
        str,
        Meta(
            min_length=1,
            description="the file of the sandboxes that stand in for a real insurance, bank and registers",
        ),
    ] = "var/sandbox.db"
    host: Annotated[str, Meta(min_length=1, description="the address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="the port to listen on")] = 8000
    mllp_host: Annotated[str, Meta(min_length=1, description="where `chengma his listen` listens")] = "127.0.0.1"
    mllp_port: Annotated[int, Meta(ge=0, le=65535, description="its port; 0 takes a free one")] = 2575
    mllp_certificate: Annotated[
        str, Meta(description="its TLS certificate (PEM); without one it speaks in the clear, within a private network")
    ] = ""
    mllp_key: Annotated[str, Meta(description="the key of that certificate (PEM)")] = ""
    mllp_clients: Annotated[str, Meta(description="the authorities whose client certificates it accepts (PEM)")] = ""
    time_zone: Annotated[str, Meta(description="the city's IANA time zone: dated rules change at its midnight")] = (
        "Asia/Shanghai"
    )
    phone_region: Annotated[
        str, Meta(pattern="^[A-Z]{2}$", description="the region of phone numbers that are written without a + prefix")
    ] = "CN"
    development: Annotated[
        bool,
        Meta(description="true opens `/v1/development/*`, where anyone reads the codes sent by text message"),
    ] = False
    access_token_seconds: Annotated[int, Meta(ge=30, le=86_400, description="how long an access token lives")] = 900
    refresh_token_days: Annotated[int, Meta(ge=1, le=365, description="how long a refresh token lives")] = 30
    code_seconds: Annotated[int, Meta(ge=10, le=600, description="how long a code on a screen lives")] = 60
    clock_skew_seconds: Annotated[
        int, Meta(ge=0, le=120, description="how far a verifier's clock may differ from ours")
    ] = 30
    body_bytes: Annotated[int, Meta(ge=1_000, le=100_000_000, description="the largest request body")] = 1_000_000
    requests_at_once: Annotated[
        int, Meta(ge=4, description="how many requests may be begun at once; images are refused at a quarter of it")
    ] = 256
    metrics_port: Annotated[
        int, Meta(ge=0, le=65535, description="the port where Prometheus reads `/metrics`; 0 for none")
    ] = 0
    traces: Annotated[
        str,
        Meta(
            pattern=r"^(https?://.+)?$",
            description="where traces go by OTLP over HTTP, such as `http://collector:4318/v1/traces`; none if empty",
        ),
    ] = ""
    fhir_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://.+[^/])?$",
            description="where hospitals reach `/fhir`, such as `https://city.example/fhir`; empty: as they ask",
        ),
    ] = ""
    access_log: Annotated[bool, Meta(description="write one JSON line per request to standard output")] = True
    person_requests_per_minute: Annotated[
        int, Meta(ge=1, description="how many requests one signed-in person may make in a minute")
    ] = 120
    system_requests_per_minute: Annotated[
        int,
        Meta(ge=1, description="how many requests one connected system, such as a hospital's, may make in a minute"),
    ] = 30_000
    address_requests_per_minute: Annotated[
        int, Meta(ge=1, description="how many requests one network address may make in a minute without signing in")
    ] = 60


class InvalidSettings(Exception):
    """One or more settings are wrong. The message has one line for each."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables. Raises InvalidSettings, which names every bad one at once.

    A setting may also be the content of a file: `CHENGMA_STORE_FILE=/run/secrets/store`. So a password stands in no
    environment that others may see, and what the file holds is never told.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    known = {setting.name: setting for setting in msgspec.structs.fields(Settings)}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        setting = known.get(name) or known.get(name.removesuffix(FILE))
        if setting is None:
            wrong.append(f"{variable}: there is no such setting; see the settings table in README.md")
            continue
        from_file = setting.name != name
        if from_file and f"{PREFIX}{setting.name.upper()}" in environment:
            wrong.append(f"{variable}: {PREFIX}{setting.name.upper()} is given too; give one of them")
            continue
        try:
            given = Path(text).read_text(encoding="utf-8").rstrip("\r\n") if from_file else text
            values[setting.name] = _converted(setting, given)
        except OSError as error:
            wrong.append(f"{variable}={text!r}: cannot be read: {error.strerror}")
        except (msgspec.ValidationError, ValueError) as error:
            if from_file:
                wrong.append(f"{variable}: what stands in the file is wrong; {_description(setting.type)}")
            else:
                wrong.append(f"{variable}={mask_credentials(text)!r}: {error}; {_description(setting.type)}")
    if wrong:
        raise InvalidSettings("\n".join(wrong))
    return Settings(**values)


def mask_credentials(address: str) -> str:
    """Give an address as it may be shown: what stands before the last @ names a user and their password.

    That holds for a misspelt address too, and for a password with a `/` that should have been escaped.
    """
    return re.sub(r"^(\w[\w+.-]*://)?.*@", rf"\1{MASK}@", address, flags=re.DOTALL)


def _converted(setting: FieldInfo, text: str) -> Any:  # noqa: ANN401  each setting has its own type
    """Read the value of a setting. Raises ValidationError or ValueError."""
    value: Any = msgspec.convert(text, setting.type, strict=False)
    if setting.name == "time_zone":
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, OSError, ValueError):
            raise ValueError("not an IANA time zone such as Asia/Shanghai") from None
    return value


def settings_table() -> str:
    """Give the settings as a Markdown table, for README.md."""
    rows = ["| variable | meaning | default |", "| --- | --- | --- |"]
    for setting in msgspec.structs.fields(Settings):
        default = str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default)
        rows.append(f"| `{PREFIX}{setting.name.upper()}` | {_description(setting.type)} | `{default}` |")
    return "\n".join(rows) + "\n"


def _description(annotation: Any) -> str:  # noqa: ANN401  an annotation may be any form
    described = msgspec.inspect.type_info(annotation)
    extra: dict[str, Any] = getattr(described, "extra_json_schema", None) or {}
    return str(extra.get("description", ""))
