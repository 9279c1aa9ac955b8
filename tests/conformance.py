"""Checks every response against the OpenAPI document, in all tests that use the `client` fixture."""

import json
import re
from functools import cache
from typing import Any

import httpx
from fhir.resources.R4B import get_fhir_model_class
from jsonschema import Draft202012Validator

from backend.settings import Settings
from backend.web.openapi import discovered_document

UNDOCUMENTED = {"/", "/reference", "/openapi.json", "/openapi.yaml", "/health/live", "/health/ready"}


@cache
def document() -> dict[str, Any]:
    return json.loads(json.dumps(discovered_document(Settings(development=True))))


@cache
def paths() -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "/?"), path) for path in document()["paths"]]


@cache
def validator(reference: str) -> Draft202012Validator:
    schema = {"components": document()["components"], **json.loads(reference)}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def must_conform(response: httpx.Response) -> None:
    """Fail on a response whose status, media type or form is not in the document."""
    response.read()
    method, path = response.request.method.lower(), re.sub("/+", "/", response.request.url.path)
    if method == "options":  # every route lists its methods in Allow
        return
    if path == "/fhir" or path.startswith("/fhir/"):
        must_be_fhir(response, path)
        return
    summary = f"{method.upper()} {path} answered {response.status_code}: {response.text[:500]}"
    operations = next((document()["paths"][known] for pattern, known in paths() if pattern.fullmatch(path)), None)
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if operations is None or method not in operations:
        if path not in UNDOCUMENTED:
            assert response.status_code == (404 if operations is None else 405), summary
            assert media_type == "application/problem+json", summary
        return
    promised = operations[method]["responses"].get(str(response.status_code))
    assert promised is not None, (
        f"{summary}\nThe route does not declare this status; see `problems=` in backend/web/openapi.py."
    )
    assert response.headers["x-request-id"], summary
    if "content" in promised:
        assert media_type in promised["content"], summary
        if media_type == "application/geo+json":  # a file that is generated once; RFC 7946 defines its form
            assert response.json()["type"] == "FeatureCollection", summary
        elif media_type.endswith("json"):
            schema = json.dumps(promised["content"][media_type]["schema"])
            errors = [error.message for error in validator(schema).iter_errors(response.json())]
            assert not errors, f"{summary}\n" + "\n".join(errors)


def must_be_fhir(response: httpx.Response, path: str) -> None:
    """Fail on responses that are not FHIR R4: a body that is not a resource, or an error without an OperationOutcome.

    The contract there is the CapabilityStatement. Signing in has its own form, that of OAuth.
    """
    summary = f"{response.request.method} {path} answered {response.status_code}: {response.text[:500]}"
    assert response.headers["x-request-id"], summary
    if response.request.method == "HEAD":
        return
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if path.rstrip("/") == "/fhir/token" and response.status_code in (200, 400, 401):
        assert media_type == "application/json", summary
        assert {"access_token", "expires_in"} <= response.json().keys() or response.json()["error"], summary
        return
    if path.startswith("/fhir/.well-known/") and response.is_success:
        assert media_type == "application/json", summary
        return
    if not response.content and response.status_code < 400:
        return
    assert media_type == "application/fhir+json", summary
    resource = response.json()
    must_be_resource(resource, summary)
    if response.is_error:
        assert resource["resourceType"] == "OperationOutcome", summary
        assert resource["id"] == response.headers["x-request-id"], summary


def must_be_resource(resource: dict[str, Any], summary: str) -> None:
    """Fail on an invalid FHIR R4 resource; the entries of a bundle are checked separately."""
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    for entry in resource.get("entry", []):
        if "resource" in entry:
            must_be_resource(entry["resource"], summary)
        outcome = entry.get("response", {}).get("outcome")
        if outcome:
            must_be_resource(outcome, summary)
