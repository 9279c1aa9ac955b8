"""The city's own folder of rules passes what `chengma rules test` and `publish` require of any folder."""

from zoneinfo import ZoneInfo

from backend.city.service import discover_services, rule_modules_of
from backend.rulebook.modules.cases import run_cases
from backend.rulebook.needs import facts_of
from tests.conftest import ROOT


def test_the_citys_rules_follow_the_conventions_and_their_cases_cover_them() -> None:
    _, cases = run_cases(ROOT / "rules", facts_of(rule_modules_of(discover_services())), ZoneInfo("Asia/Shanghai"))
    assert cases > 300
