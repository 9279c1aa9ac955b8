"""The OpenAPI document: Litestar's own, completed with the Problems that a caller may receive.

schemathesis tests every route against the document. A route names the Problems of its own rules as
`@post(..., problems=(CodeExpired, ...))`; the Problems of its guard, body and parameters are added here. Types that a
schema of the route refers to by name are listed as `schemas=(HealthEvent, ...)`.
"""

import io
from collections.abc import Iterator, Sequence
from functools import cache
from inspect import getdoc
from typing import Any, cast

import msgspec
from litestar import Litestar, Response, Router, get
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme, Tag
from litestar.response import Redirect
from litestar.routes import HTTPRoute
from litestar.types import ControllerRouterHandler
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

from backend.city.declarations import declared_roles
from backend.city.service import City, Integration, Service, discover_integrations, discover_services
from backend.operations.load_shedding import Unavailable
from backend.problems import (
    PROBLEM_JSON,
    BodyTooLarge,
    EditConflict,
    InternalError,
    InvalidRequest,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Problem,
    TooManyRequests,
    UnsupportedMediaType,
)
from backend.security.captcha import CaptchaRequired
from backend.security.identity import ROLE_FORMAT, StepUpRequired, budgeted, citizen, person_present, public, signed_in
from backend.security.request_proofs import InvalidProof
from backend.settings import Settings
from backend.web.openapi_page import reference_page

_REQUEST_ID = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}


def openapi_document(
    services: Sequence[Service], integrations: Sequence[Integration], settings: Settings
) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these services and integrations. Opens neither store nor keys."""
    app = _documented_app(services, integrations, settings)
    document = app.openapi_schema.to_schema()
    document.pop("servers", None)
    kinds: dict[str, type[Problem]] = {}
    operations = list(_operations(app))
    type_schemas, schemas = _schemas([handler for _, _, handler in operations])
    for path, method, handler in operations:
        problems = sorted(set(_problems_of(handler, path)), key=lambda kind: (kind.status, kind.__name__))
        for kind in problems:
            assert kinds.setdefault(kind.__name__, kind) is kind, f"two Problems are called {kind.__name__}"
        operation = document["paths"][path][method]
        text = operation.get("description") or operation["summary"]
        operation["summary"], _, operation["description"] = text.partition("\n\n")
        _describe_bodies(operation, handler, type_schemas)
        _describe_problems(operation, handler, problems)
    components = document["components"]
    components["headers"] = _HEADERS
    schemas |= _problem_schemas(kinds)
    if roles := sorted(declared_roles(services)):
        schemas["Role"] = _ROLE | {"enum": roles}
    components["schemas"] = dict(sorted(schemas.items()))
    document["paths"] = dict(sorted(document["paths"].items()))
    return _without_redundant(document)


def discovered_document(settings: Settings) -> dict[str, Any]:
    """Return the document of all services and integrations that these settings find."""
    return openapi_document(discover_services(), discover_integrations(settings.integrations), settings)


def as_yaml(document: dict[str, Any]) -> str:
    """Return a document as YAML; the text is the same for the same document."""
    yaml: Any = YAML(typ="rt")
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.ignore_aliases = _never
    text = io.StringIO()
    yaml.dump(_folded(msgspec.to_builtins(document)), text)
    return text.getvalue()


def _never(_value: object) -> bool:
    return True  # equal values are repeated, not referenced


def document_routes(
    services: Sequence[Service], integrations: Sequence[Integration], settings: Settings
) -> list[ControllerRouterHandler]:
    """Return the routes of the document: as JSON, as YAML, and as a page, each built on first use."""

    @cache
    def document() -> dict[str, Any]:
        return openapi_document(services, integrations, settings)

    @cache
    def page() -> str:
        return reference_page(document())

    @cache
    def yaml() -> str:
        return as_yaml(document())

    @get("/openapi.json", guards=[public], include_in_schema=False)
    async def openapi_json() -> dict[str, Any]:
        return document()

    @get("/openapi.yaml", guards=[public], include_in_schema=False)
    async def openapi_yaml() -> Response[str]:
        return Response(yaml(), media_type="application/yaml; charset=utf-8")

    @get("/reference", guards=[public], include_in_schema=False)
    async def reference() -> Response[str]:
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(page(), media_type="text/html", headers=policy)

    @get("/", guards=[public], include_in_schema=False)
    async def home() -> Redirect:
        return Redirect("/reference")

    return [openapi_json, openapi_yaml, reference, home]


def _documented_app(services: Sequence[Service], integrations: Sequence[Integration], settings: Settings) -> Litestar:
    async def provide_city() -> City:
        raise AssertionError("this application is documented and never served")

    tagged: list[ControllerRouterHandler] = [
        Router("/", route_handlers=service.routes, tags=[service.name]) for service in services
    ]
    for integration in integrations:
        routes = integration.routes(settings)
        own = [route for route in routes if isinstance(route, HTTPRouteHandler) and route.tags]
        tagged.extend(own)  # of the service whose port the integration implements
        if len(own) < len(routes):
            others = [route for route in routes if route not in own]
            tagged.append(Router("/", route_handlers=others, tags=["development"]))
    bearer = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT", description="The access token.")
    config = OpenAPIConfig(
        title="Chengma 城码",
        version="1",
        description=_DESCRIPTION,
        use_handler_docstrings=True,
        tags=[Tag(name=service.name, description=f"{service.title.en} · {service.title.zh}") for service in services],
        components=Components(security_schemes={"accessToken": bearer}),
        operation_id_creator=lambda handler, _method, _path: "_".join((*handler.resolve_tags(), handler.handler_name)),
    )
    return Litestar(
        route_handlers=tagged,
        openapi_config=config,
        logging_config=None,
        dependencies={"city": Provide(provide_city)},
    )


_DESCRIPTION = """\
The citizen services of a city. Every error is a Problem (RFC 9457) whose `type` names it; `detail` is for people, in
Chinese or English by `Accept-Language`. Every response has an `X-Request-Id`, which identifies it in the log.

Three headers are optional on requests without an access token. `DPoP` proves at sign-in and refresh which device sends
them (RFC 9449). `Captcha-Response` carries the solution of the captcha in a Problem `captcha-required`. `Gateway-Proof`
is signed by the registered backend of a mini-program and names the end user.
"""


def _operations(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                if handler.resolve_include_in_schema():
                    yield route.path_format or "/", method.lower(), handler


_ANONYMOUS: frozenset[Any] = frozenset((public, budgeted))
"""The guards that admit callers who are not signed in, within the budgets of their address, gateway or device."""


def _problems_of(handler: HTTPRouteHandler, path: str) -> Iterator[type[Problem]]:
    yield from (InternalError, InvalidRequest, TooManyRequests, Unavailable)
    yield from cast("Sequence[type[Problem]]", handler.opt.get("problems", ()))
    if "data" in handler.parsed_fn_signature.parameters:
        yield from (BodyTooLarge, UnsupportedMediaType)
    if "{" in path:
        yield NotFound
    if not handler.http_methods <= {"GET", "HEAD"}:
        yield EditConflict
    guards = _guards(handler)
    if guards & _ANONYMOUS:
        yield from (CaptchaRequired, InvalidProof)
    else:
        yield NotSignedIn
    if guards & {citizen, person_present}:
        yield StepUpRequired
    elif not guards & {*_ANONYMOUS, signed_in}:
        yield NotAllowed


def _guards(handler: HTTPRouteHandler) -> set[Any]:
    return set(cast("Sequence[Any]", handler.resolve_guards()))  # pyright: ignore[reportUnknownMemberType]


def _body_type(handler: HTTPRouteHandler) -> Any:  # noqa: ANN401  any type that a handler reads
    field = handler.parsed_fn_signature.parameters.get("data")
    return None if field is None else field.annotation


def _answer_type(handler: HTTPRouteHandler) -> Any:  # noqa: ANN401  any type that a handler returns
    field = handler.parsed_fn_signature.return_type
    if field.is_subclass_of(Response):
        field = field.inner_types[0] if field.inner_types else None
    return None if field is None or field.annotation in (None, type(None), str, bytes) else field.annotation


def _schemas(handlers: Sequence[HTTPRouteHandler]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Return the schema of each type, and the named schemas, as msgspec enforces them.

    Litestar's own schemas omit constraints such as the refusal of unknown members.
    """
    types = [
        kind
        for handler in handlers
        for kind in (_body_type(handler), _answer_type(handler), *handler.opt.get("schemas", ()))
        if kind is not None
    ]
    distinct = {str(kind): kind for kind in types}
    type_schemas, schemas = msgspec.json.schema_components(
        distinct.values(), ref_template="#/components/schemas/{name}"
    )
    return dict(zip(distinct, type_schemas, strict=True)), schemas


def _describe_bodies(operation: dict[str, Any], handler: HTTPRouteHandler, type_schemas: dict[Any, Any]) -> None:
    if body := _body_type(handler):
        operation["requestBody"]["content"] = {"application/json": {"schema": type_schemas[str(body)]}}
    answer = _answer_type(handler)
    for content in operation["responses"][str(handler.status_code)].get("content", {}).values():
        content.clear()
        if answer:
            content["schema"] = type_schemas[str(answer)]


def _describe_problems(operation: dict[str, Any], handler: HTTPRouteHandler, problems: Sequence[type[Problem]]) -> None:
    if NotSignedIn in problems:
        operation["security"] = [{"accessToken": []}, *([{}] if _guards(handler) & _ANONYMOUS else [])]
    responses = operation["responses"]
    for status in [status for status in responses if status >= "400"]:
        del responses[status]  # Litestar's own error schema, which is never sent
    for status in sorted({kind.status for kind in problems}):
        kinds = [kind for kind in problems if kind.status == status]
        references = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in kinds]
        responses[str(status)] = {
            "description": "; ".join(kind.title for kind in kinds),
            "content": {PROBLEM_JSON: {"schema": references[0] if len(kinds) == 1 else {"oneOf": references}}},
        }
    for status, response in responses.items():
        response["headers"] = response.get("headers", {}) | _REQUEST_ID | _HEADERS_OF.get(status, {})


_HEADERS: dict[str, Any] = {
    "RequestId": {
        "description": "Identifies the request in the operator's log: the id that was sent, or a new one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "RetryAfter": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer", "minimum": 0}},
    "Authenticate": {"description": "How to sign in (RFC 6750).", "schema": {"type": "string"}},
}
_HEADERS_OF = {
    "401": {"WWW-Authenticate": {"$ref": "#/components/headers/Authenticate"}},
    "429": {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}},
    "503": {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}},
}


_ROLE = {"title": "Role", "description": "What a signed-in person may do beyond their own affairs."}


def _problem_schemas(kinds: dict[str, type[Problem]]) -> dict[str, Any]:
    schemas: dict[str, Any] = {"Problem": _PROBLEM, "FieldError": _FIELD_ERROR}
    for name, kind in kinds.items():
        type_member = {"properties": {"type": {"const": kind.type_path()}, "status": {"const": kind.status}}}
        schemas[name] = {
            "title": kind.title,
            "description": getdoc(kind) or "",
            "allOf": [{"$ref": "#/components/schemas/Problem"}, type_member],
        }
    return schemas


_PROBLEM = {
    "title": "Problem",
    "description": "An error that a caller can act on (RFC 9457). There may be further members.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "names the Problem"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "what to show to the citizen, in the requested language"},
        "request_id": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldError"}},
    },
}
_FIELD_ERROR = {
    "title": "FieldError",
    "type": "object",
    "required": ["pointer", "detail"],
    "properties": {
        "pointer": {"type": "string", "description": "a JSON pointer into the body, or the parameter's name"},
        "detail": {"type": "string"},
    },
}


_FALSE_BY_DEFAULT = ("deprecated", "required", "allowEmptyValue", "allowReserved")


def _is_redundant(key: str, item: object) -> bool:
    return (item is False and key in _FALSE_BY_DEFAULT) or (item == "" and key == "description")


def _without_redundant(value: Any) -> Any:  # noqa: ANN401  a tree of JSON
    """Drop redundant schema members, and write integral limits as integers."""
    if isinstance(value, dict):
        if cast("dict[str, Any]", value).get("format") == ROLE_FORMAT:
            return {"$ref": "#/components/schemas/Role"}
        items = cast("dict[str, Any]", value).items()
        return {key: _without_redundant(item) for key, item in items if not _is_redundant(key, item)}
    if isinstance(value, list):
        return [_without_redundant(item) for item in cast("list[Any]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _folded(value: Any) -> Any:  # noqa: ANN401  a tree of JSON
    """Write texts of several lines as YAML blocks."""
    if isinstance(value, dict):
        return {key: _folded(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_folded(item) for item in cast("list[Any]", value)]
    return LiteralScalarString(value) if isinstance(value, str) and "\n" in value else value
