"""The rule modules that authors' commands find without importing the services."""

import subprocess
import sys

from backend.city.rule_modules import discover_rule_modules
from backend.city.service import discover_services, rule_modules_of
from tests.conftest import ROOT

HEAVY = ("litestar", "pymongo", "shapely", "numpy", "jwt", "celery")


def test_they_are_those_of_the_services() -> None:
    assert discover_rule_modules() == rule_modules_of(discover_services())


def test_their_facts_are_those_of_the_services_imported_afterwards() -> None:
    program = (
        "from backend.city.rule_modules import discover_rule_modules\n"
        "found = discover_rule_modules()\n"
        "from backend.city.service import discover_services, rule_modules_of\n"
        "assert found == rule_modules_of(discover_services())\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_they_are_found_without_the_libraries_of_a_server() -> None:
    program = (
        "import sys\n"
        "from backend.city.rule_modules import discover_rule_modules\n"
        "assert discover_rule_modules()\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
