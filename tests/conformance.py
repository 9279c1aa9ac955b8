"""Holding every answer to the OpenAPI document, in all tests that use the `client` fixture."""

import json
import re
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from backend.contract import contract_of
from backend.settings import Settings

UNDOCUMENTED = {"/", "/reference", "/openapi.json", "/openapi.yaml", "/health/live", "/health/ready"}


@cache
def document() -> dict[str, Any]:
    return json.loads(json.dumps(contract_of(Settings(development=True))))


@cache
def paths() -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "/?"), path) for path in document()["paths"]]


@cache
def validator(reference: str) -> Draft202012Validator:
    schema = {"components": document()["components"], **json.loads(reference)}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def must_conform(response: httpx.Response) -> None:
    """Fail on an answer that the document does not promise: its status, its media type, or its form."""
    response.read()
    method, path = response.request.method.lower(), re.sub("/+", "/", response.request.url.path)
    if method == "options":  # every route tells its methods
        return
    said = f"{method.upper()} {path} answered {response.status_code}: {response.text[:500]}"
    operations = next((document()["paths"][known] for pattern, known in paths() if pattern.fullmatch(path)), None)
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if operations is None or method not in operations:
        if path not in UNDOCUMENTED:
            assert response.status_code == (404 if operations is None else 405), said
            assert media_type == "application/problem+json", said
        return
    promised = operations[method]["responses"].get(str(response.status_code))
    assert promised is not None, f"{said}\nThe route does not declare this status; see `problems=` in contract.py."
    assert response.headers["x-request-id"], said
    if "content" in promised:
        assert media_type in promised["content"], said
        if media_type.endswith("json"):
            schema = json.dumps(promised["content"][media_type]["schema"])
            errors = [error.message for error in validator(schema).iter_errors(response.json())]
            assert not errors, f"{said}\n" + "\n".join(errors)
