"""Checks at start-up: what services and integrations declare must fit together.

All mistakes are reported at once, each in one line that says what to do.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from litestar import Litestar
from litestar.routes import HTTPRoute

from backend.city import upstream
from backend.city.service import EVERY_OTHER_ROLE, Integration, InvalidCity, Service
from backend.jobs.tasks import Task, service_modules, undefined_tasks
from backend.security.identity import OPEN_GUARDS, RoleGuard
from backend.store import Document


def check_declarations(
    services: Sequence[Service],
    integrations: Sequence[Integration],
    system_documents: Sequence[type[Document]],
    tasks: Mapping[str, Task[Any]],
    packages: tuple[str, str],
) -> None:
    """Check what the services and integrations of two packages declare. Raises InvalidCity."""
    services_package, integrations_package = packages
    _refuse(
        [
            *_repeated_names(services),
            *_repeated_collections(services, system_documents),
            *_unregistered_documents(services, services_package),
            *_repeated_audiences(services),
            *_repeated_phones(services),
            *_unknown_exclusions(services),
            *_repeated_standings(services),
            *_undefined_tasks(tasks, services_package),
            *_undefined_tasks(tasks, integrations_package),
            *_undeclared_ports(integrations, services_package),
        ]
    )


def check_guards(app: Litestar, services: Sequence[Service]) -> None:
    """Check that each route declares exactly one guard, and only declared roles. Raises InvalidCity."""
    roles = declared_roles(services)
    _refuse(
        [mistake for route in app.routes if isinstance(route, HTTPRoute) for mistake in _guard_mistakes(route, roles)]
    )


def declared_roles(services: Iterable[Service]) -> frozenset[str]:
    """Return the roles that the services declare."""
    return frozenset(role for service in services for role in (*service.roles, *service.system_roles))


def grantable_roles(services: Iterable[Service]) -> frozenset[str]:
    """Return the roles that people may have: all but those of systems."""
    return frozenset(role for service in services for role in service.roles)


def exclusive_roles(services: Sequence[Service]) -> frozenset[frozenset[str]]:
    """Return the pairs of roles that nobody may have at once."""
    roles = grantable_roles(services)
    return frozenset(
        frozenset((first, other))
        for service in services
        for first, second in service.exclusive_roles
        for other in (roles - {first} if second == EVERY_OTHER_ROLE else {second})
    )


def _refuse(mistakes: Sequence[str]) -> None:
    if mistakes:
        raise InvalidCity("\n".join(mistakes))


def _repeated_names(services: Sequence[Service]) -> Iterator[str]:
    for name, count in Counter(service.name for service in services).items():
        if count > 1:
            yield f"{count} services are named {name!r}: give each Service its own name, that of its package"


def _repeated_collections(services: Sequence[Service], system_documents: Sequence[type[Document]]) -> Iterator[str]:
    owners: dict[str, list[str]] = defaultdict(list)
    for kind in system_documents:
        owners[kind.collection].append("the city itself")
    for service in services:
        for kind in service.documents:
            owners[kind.collection].append(f"the service {service.name!r} ({kind.__name__})")
    for collection, registrants in owners.items():
        if len(registrants) > 1:
            yield (
                f"the collection {collection!r} is registered by {' and by '.join(registrants)}: "
                "register it once, or give the Document another `collection`"
            )


def _unregistered_documents(services: Sequence[Service], package: str) -> Iterator[str]:
    registered = {kind for service in services for kind in service.documents}
    defined = {
        value
        for name, module in list(sys.modules.items())
        if name.startswith(f"{package}.")
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Document) and value.__module__ == name
    }
    for kind in sorted(defined - registered, key=lambda kind: (kind.__module__, kind.__name__)):
        yield (
            f"{kind.__module__} defines the Document {kind.__name__}, which no service registers: "
            "add it to `Service(documents=...)`"
        )


def _repeated_audiences(services: Sequence[Service]) -> Iterator[str]:
    for audience, count in Counter(code.audience for service in services for code in service.codes).items():
        if count > 1:
            yield f"{count} kinds of codes have the audience {audience!r}: give each CodeFormat its own"


def _repeated_phones(services: Sequence[Service]) -> Iterator[str]:
    demos = (service.demo for service in services if service.demo is not None)
    for phone, count in Counter(member.phone for demo in demos for member in demo.staff).items():
        if count > 1:
            yield f"{count} members of the demonstration's staff have the phone {phone!r}: give each DemoStaff its own"


def _unknown_exclusions(services: Sequence[Service]) -> Iterator[str]:
    roles = grantable_roles(services)
    for service in services:
        for first, second in service.exclusive_roles:
            for role in (first, second):
                if role not in roles and (role is first or role != EVERY_OTHER_ROLE):
                    yield (
                        f"the service {service.name!r} excludes the role {role!r}, which no service declares: "
                        f"add it to `Service(roles=...)`, or use one of: {', '.join(sorted(roles))}"
                    )
            if first == second:
                yield f"the service {service.name!r} excludes the role {first!r} from itself: name another role"


def _repeated_standings(services: Sequence[Service]) -> Iterator[str]:
    keepers = [service.name for service in services if service.standing is not None]
    if len(keepers) > 1:
        yield f"the services {', '.join(map(repr, keepers))} all declare a `standing`: one service keeps the accounts"


def _undefined_tasks(tasks: Mapping[str, Task[Any]], package: str) -> Iterator[str]:
    for name, module in undefined_tasks(tasks, package).items():
        yield (
            f"{module} refers to the task {name!r}, which no service defines: "
            f"define it with @background in the `tasks` of its service, or use one of: {', '.join(sorted(tasks))}"
        )


def _undeclared_ports(integrations: Sequence[Integration], package: str) -> Iterator[str]:
    modules = [*service_modules(package, "ports"), upstream]
    folder = package.replace(".", "/")
    declared = {value for module in modules for value in vars(module).values() if _is_protocol(value)}
    for integration in integrations:
        port = integration.port
        if port is not None and port not in declared:
            yield (
                f"an integration implements {port.__module__}.{port.__qualname__}, which is not a port of a service: "
                f"declare it as a Protocol in {folder}/<name>/ports.py, or remove the integration"
            )


def _is_protocol(value: object) -> bool:
    return isinstance(value, type) and bool(getattr(value, "_is_protocol", False))


def _guard_mistakes(route: HTTPRoute, roles: frozenset[str]) -> Iterator[str]:
    for method, (handler, _) in route.route_handler_map.items():
        if method == "OPTIONS":
            continue
        place = f"{method} {route.path} ({handler.handler_name})"
        guards = cast("Sequence[object]", handler.resolve_guards())  # pyright: ignore[reportUnknownMemberType]
        if len(guards) != 1:
            yield f"{place} declares {len(guards)} guards: declare exactly one, such as `guards=[citizen]`"
        for guard in guards:
            if isinstance(guard, RoleGuard):
                for role in guard.roles:
                    if role not in roles:
                        yield (
                            f"{place} requires the role {role!r}, which no service declares: "
                            f"add it to `Service(roles=...)`, or use one of: {', '.join(sorted(roles))}"
                        )
            elif guard not in OPEN_GUARDS:
                yield f"{place} has a guard of its own: use role_guard(...) or a guard of backend.security.identity"
