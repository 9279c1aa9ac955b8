"""Drafts of the city's rules in tests: the folder with a text replaced."""

from zoneinfo import ZoneInfo

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook import Rulebook, make_rulebook, read_rules
from backend.rulebook.needs import facts_of
from tests.conftest import ROOT


def draft_of(module: str, old: str, new: str) -> Rulebook:
    """Return the city's rules with a text of one module replaced."""
    files = read_rules(ROOT / "rules")
    assert old in files[module].text
    files[module].text = files[module].text.replace(old, new)
    return make_rulebook(files, facts_of(rule_modules_of(discover_services())), ZoneInfo("Asia/Shanghai"))
