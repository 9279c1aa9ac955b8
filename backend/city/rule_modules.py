"""The rule modules that the services evaluate, found without importing the services.

The commands of rule authors need no route, store or server, whose import takes most of a second. A service that lists
its rule modules in `rule_modules.py` is asked there; any other is imported whole. A test shows that both ways agree.
"""

import importlib
import pkgutil
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import cast

from backend.rulebook.needs import RuleModule

RULE_MODULES = "rule_modules"


def discover_rule_modules(package: str = "backend.services") -> list[RuleModule]:
    """Return the rule modules of all services of `package`, by the names of the services."""
    folder = importlib.import_module(package).__path__[0]
    found = sorted(info.name for info in pkgutil.iter_modules([folder]) if not info.name.startswith("_"))
    return [module for name in found for module in _rule_modules(f"{package}.{name}", Path(folder, name))]


def _rule_modules(service: str, folder: Path) -> Iterator[RuleModule]:
    if (folder / f"{RULE_MODULES}.py").exists():
        with _package_without_its_init(service, folder):
            listed = importlib.import_module(f"{service}.{RULE_MODULES}")
        yield from cast("list[RuleModule]", listed.RULE_MODULES)
    elif RULE_MODULES in (folder / "__init__.py").read_text("utf-8"):
        yield from cast("list[RuleModule]", importlib.import_module(service).service.rule_modules)


@contextmanager
def _package_without_its_init(name: str, folder: Path) -> Generator[None, None, None]:
    """Let modules of a package be imported without running its `__init__`.

    The package is imported as usual afterwards, and finds these modules: there is only one of each Struct.
    """
    if name in sys.modules:
        yield
        return
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules[name] = package
    try:
        yield
    finally:
        del sys.modules[name]
