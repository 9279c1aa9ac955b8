import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.testing import TestClient

from backend.app import create_app
from backend.security.identity import OPEN_GUARDS, RoleGuard
from backend.settings import Settings

SERVICE = """
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from backend.security.identity import public
from backend.city.service import City, Service
from backend.store import Document, Index
from backend.i18n import Text
from backend.rulebook.needs import RuleModule


class TreeFacts(Struct):
    height_m: int


class Tree(Document):
    collection = "trees"
    indexes = (Index(("street",)),)
    street: str
    height_m: int


class NewTree(Struct, forbid_unknown_fields=True):
    street: str
    height_m: int


class Care(Struct):
    street: str
    care: str
    because: Text


@post("/v1/trees/{tree_id:str}", guards=[public])
async def plant_tree(tree_id: FromPath[str], data: JSONBody[NewTree], city: NamedDependency[City]) -> None:
    await city.store.insert(Tree(id=tree_id, street=data.street, height_m=data.height_m))


@get("/v1/trees/{tree_id:str}/care", guards=[public])
async def read_care(tree_id: FromPath[str], city: NamedDependency[City]) -> Care:
    tree = await city.store.get(Tree, tree_id)
    verdict = city.rulebook.evaluate("trees.care", TreeFacts(tree.height_m), city.now())
    return Care(tree.street, verdict.result, verdict.because)


service = Service(
    name="trees",
    title=Text(zh="行道树", en="Street trees"),
    routes=[plant_tree, read_care],
    documents=[Tree],
    rule_modules=[RuleModule("trees.care", TreeFacts)],
)
"""

RULES = """
module: trees.care
title: {zh: 行道树养护, en: Care of street trees}
facts: TreeFacts
result: [leave, prune]
strategy: first

rules:
  - id: taller-than-twenty-metres
    from: 2000-01-01
    when: facts.height_m > 20
    then: prune
    because: {zh: 树高超过二十米。, en: It is taller than twenty metres.}
    source: an example

otherwise:
  then: leave
  because: {zh: 树还小。, en: It is small.}
"""


@pytest.fixture
def settings_with_trees(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Add a service as its author would: a folder of code and a folder of rules."""
    (tmp_path / "greentown" / "trees").mkdir(parents=True)
    (tmp_path / "greentown" / "__init__.py").touch()
    (tmp_path / "greentown_integrations").mkdir()
    (tmp_path / "greentown_integrations" / "__init__.py").touch()
    (tmp_path / "greentown" / "trees" / "__init__.py").write_text(SERVICE)
    (tmp_path / "rules" / "trees").mkdir(parents=True)
    (tmp_path / "rules" / "trees" / "care.yaml").write_text(RULES)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield msgspec.structs.replace(settings, rules=str(tmp_path / "rules"), integrations="greentown_integrations")
    for name in [name for name in sys.modules if name.startswith("greentown")]:
        del sys.modules[name]


def test_a_new_service_is_a_folder_of_code_and_a_folder_of_rules(settings_with_trees: Settings) -> None:
    with TestClient(create_app(settings_with_trees, services_package="greentown")) as client:
        assert client.post("/v1/trees/oak", json={"street": "湖滨路", "height_m": 21}).status_code == 201
        assert client.get("/v1/trees/oak/care").json() == {
            "street": "湖滨路",
            "care": "prune",
            "because": {"zh": "树高超过二十米。", "en": "It is taller than twenty metres."},
        }
        document = client.get("/openapi.json").json()
    assert [tag["name"] for tag in document["tags"]] == ["trees"]
    assert document["paths"]["/v1/trees/{tree_id}/care"]["get"]["operationId"] == "trees_read_care"


def test_every_route_declares_exactly_one_guard(app: Litestar) -> None:
    handlers = [
        handler
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
        if method != "OPTIONS"
    ]
    assert len(handlers) > 5
    for handler in handlers:
        guards = handler.resolve_guards()
        assert len(guards) == 1, f"{handler} declares {len(guards)} guards"
        assert isinstance(guards[0], RoleGuard) or guards[0] in OPEN_GUARDS, f"{handler} has a guard of its own making"


def test_services_and_integrations_are_found_not_listed() -> None:
    app_source = (Path(__file__).parents[2] / "backend" / "app.py").read_text()
    assert "services." not in app_source.replace("backend.services", "")
    assert "import integrations" not in app_source
