"""Invalid declarations of services and integrations prevent the city from starting; each error names the remedy."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from backend.app import create_app
from backend.city.declarations import InvalidCity
from backend.settings import Settings

SERVICE = """
from litestar import get
from msgspec import Struct
from backend.city.service import CodeFormat, Demo, DemoStaff, Service
from backend.i18n import Text
from backend.rulebook.needs import RuleModule
from backend.jobs.tasks import TaskReference
from backend.security.identity import public, role_guard
from backend.store import Document
from backend.web.idempotency import IdempotencyRecord


class {kind}(Document):
    collection = "{collection}"


class {name}_facts(Struct):
    height_m: int


async def own_guard(connection, handler): ...


{reference}


@get("/v1/{name}", guards=[{guards}])
async def show() -> None: ...


service = Service(
    name="{name}",
    title=Text(zh="树", en="Trees"),
    routes=[show],
    documents=[{documents}],
    rule_modules=[RuleModule("{name}.*", {name}_facts)],
    roles=[{roles}],
    codes=[{codes}],
    demo={demo},
)
"""

RULES = """
module: trees.care
title: {zh: 行道树养护, en: Care of street trees}
facts: trees_facts
result: [leave, prune]
strategy: first

rules:
  - id: taller-than-twenty-metres
    from: 2000-01-01
    when: facts.height_m > 20
    then: prune
    because: {zh: 树高超过二十米, en: It is taller than twenty metres}
    source: an example

otherwise:
  then: leave
  because: {zh: 树还小, en: It is small}
"""

BuildCity = Callable[..., Settings]


@pytest.fixture
def build_city(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BuildCity]:
    """Write services `trees` and, if `other` is given, `parks`, and an integration; return the city's settings."""
    (tmp_path / "rules" / "trees").mkdir(parents=True)
    (tmp_path / "rules" / "trees" / "care.yaml").write_text(RULES)
    monkeypatch.syspath_prepend(str(tmp_path))

    def service(folder: str, **parts: str) -> None:
        definition = {
            "name": folder,
            "kind": folder.title(),
            "collection": folder,
            "documents": parts.get("kind", folder.title()),
            "guards": "public",
            "roles": "",
            "reference": "",
            "codes": "",
            "demo": "None",
        } | parts
        package = tmp_path / "example_city" / folder
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(SERVICE.format(**definition))
        (package / "tasks.py").write_text(
            "from backend.jobs.tasks import background\n\n@background()\nasync def water(city): ...\n"
        )

    def build(other: dict[str, str] | None = None, integration: str = "", **trees: str) -> Settings:
        service("trees", **trees)
        if other is not None:
            service("parks", **other)
        (tmp_path / "example_city" / "__init__.py").touch()
        (tmp_path / "example_city_integrations").mkdir()
        (tmp_path / "example_city_integrations" / "__init__.py").touch()
        (tmp_path / "example_city_integrations" / "weather.py").write_text(integration)
        return replace(settings, rules=str(tmp_path / "rules"), integrations="example_city_integrations")

    yield build
    for name in [name for name in sys.modules if name.startswith("example_city")]:
        del sys.modules[name]


def refusal(settings: Settings) -> str:
    with pytest.raises(InvalidCity) as refused:
        create_app(settings, services_package="example_city")
    assert not Path(settings.store.removeprefix("sqlite:///")).exists(), "nothing was opened"
    return str(refused.value)


def test_consistent_declarations_start(build_city: BuildCity) -> None:
    reference = 'water = TaskReference("trees.water")'
    create_app(
        build_city(other={}, guards='role_guard("gardener")', roles='"gardener"', reference=reference),
        services_package="example_city",
    )


@pytest.mark.parametrize(
    ("trees", "other", "message"),
    [
        pytest.param(
            {},
            {"collection": "trees"},
            "the collection 'trees' is registered by the service 'parks' (Parks) and by the service 'trees' (Trees): "
            "register it once, or give the Document another `collection`",
            id="two services, one collection",
        ),
        pytest.param(
            {"collection": "leases"},
            None,
            "the collection 'leases' is registered by the city itself and by the service 'trees' (Trees): "
            "register it once, or give the Document another `collection`",
            id="a collection of the city",
        ),
        pytest.param(
            {"documents": "IdempotencyRecord, Trees"},
            None,
            "the collection 'kept_answers' is registered by the city itself and by the service 'trees' "
            "(IdempotencyRecord): register it once, or give the Document another `collection`",
            id="a document of the city",
        ),
        pytest.param(
            {"guards": ""},
            None,
            "GET /v1/trees (show) declares 0 guards: declare exactly one, such as `guards=[citizen]`",
            id="no guard",
        ),
        pytest.param(
            {"guards": 'public, role_guard("gardener")', "roles": '"gardener"'},
            None,
            "GET /v1/trees (show) declares 2 guards: declare exactly one, such as `guards=[citizen]`",
            id="two guards",
        ),
        pytest.param(
            {"guards": "own_guard"},
            None,
            "GET /v1/trees (show) has a guard of its own: use role_guard(...) or a guard of backend.security.identity",
            id="its own guard",
        ),
        pytest.param(
            {"guards": 'role_guard("gardner")', "roles": '"gardener"'},
            {"roles": '"keeper"'},
            "GET /v1/trees (show) requires the role 'gardner', which no service declares: "
            "add it to `Service(roles=...)`, or use one of: gardener, keeper",
            id="an undeclared role",
        ),
        pytest.param(
            {"reference": 'prune = TaskReference("trees.prune")'},
            {},
            "example_city.trees refers to the task 'trees.prune', which no service defines: define it with @background "
            "in the `tasks` of its service, or use one of: parks.water, trees.water",
            id="an undefined task",
        ),
        pytest.param(
            {"documents": ""},
            None,
            "example_city.trees defines the Document Trees, which no service registers: "
            "add it to `Service(documents=...)`",
            id="a document that is not registered",
        ),
        pytest.param(
            {},
            {"name": "trees"},
            "2 services are named 'trees': give each Service its own name, that of its package",
            id="two services, one name",
        ),
        pytest.param(
            {"codes": 'CodeFormat("tr", dict, print)'},
            {"codes": 'CodeFormat("tr", dict, print)'},
            "2 kinds of codes have the audience 'tr': give each CodeFormat its own",
            id="two codes, one audience",
        ),
        pytest.param(
            {"demo": 'Demo(staff=[DemoStaff("+8613800000001", "keeper", "keeper")])'},
            {"demo": 'Demo(staff=[DemoStaff("+8613800000001", "guide", "guide")])'},
            "2 members of the demonstration's staff have the phone '+8613800000001': give each DemoStaff its own",
            id="two members of staff, one phone",
        ),
    ],
)
def test_an_inconsistent_declaration_is_refused_with_a_remedy(
    build_city: BuildCity, trees: dict[str, str], other: dict[str, str] | None, message: str
) -> None:
    assert refusal(build_city(other=other, **trees)) == message


def test_a_package_without_a_service_is_refused(build_city: BuildCity, tmp_path: Path) -> None:
    settings = build_city()
    (tmp_path / "example_city" / "lawns.py").touch()
    assert refusal(settings) == (
        "example_city.lawns defines no service: add `service = Service(...)` to its __init__.py"
    )


def test_an_integration_for_no_port_is_refused(build_city: BuildCity) -> None:
    integration = """
from typing import Protocol
from backend.city.service import Integration

class Weather(Protocol): ...

integration = Integration(port=Weather, make=lambda settings: None)
"""
    assert refusal(build_city(integration=integration)) == (
        "an integration implements example_city_integrations.weather.Weather, which is not a port of a service: "
        "declare it as a Protocol in example_city/<name>/ports.py, or remove the integration"
    )


def test_an_integration_can_only_refer_to_existing_tasks(build_city: BuildCity) -> None:
    reference = """
from backend.city.service import Integration
from backend.jobs.tasks import TaskReference

burn = TaskReference("trees.burn")
integration = Integration()
"""
    assert "example_city_integrations.weather refers to the task 'trees.burn'" in refusal(
        build_city(integration=reference)
    )


def test_all_mistakes_are_named_at_once(build_city: BuildCity) -> None:
    mistakes = refusal(build_city(other={"name": "trees", "collection": "trees"})).splitlines()
    assert len(mistakes) == 2
