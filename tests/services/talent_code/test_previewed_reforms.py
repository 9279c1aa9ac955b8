"""A preview of a reform dated ahead says in which direction it goes and what it costs, on its day and before."""

from datetime import datetime
from pathlib import Path

import pytest

from backend.city.person import Person
from backend.cli.rules.printed_preview import print_report
from backend.rulebook import Rulebook
from backend.rulebook.preview.report import PreviewReport
from backend.services.talent_code.model.claim import Claim
from backend.services.talent_code.model.talent import Talent
from backend.store.sqlite.store import SqliteStore
from tests.city.previews import report_of
from tests.rulebook.test_agreement import CITY, RULEBOOK
from tests.services.talent_code.old_age import MODULE
from tests.services.talent_code.test_previewed_benefits import NOW, STORED, WITH_SUBSIDY, edition, people

EIGHTY, NINETY = "value: 150.50 yuan, source: order}\n", "value: 300 yuan, source: order}\n"
REFORM = MODULE.replace(EIGHTY, f"{EIGHTY}    - {{from: 2026-12-01, value: 100 yuan, source: order}}\n").replace(
    NINETY, f"{NINETY}    - {{from: 2026-12-03, value: 350 yuan, source: order}}\n"
)


def preview(folder: Path, old: Rulebook, new: Rulebook) -> PreviewReport:
    return report_of(
        lambda: SqliteStore.open(folder / "city.db", [Person, Talent, Claim]), people(), STORED, (old, new), NOW
    )


@pytest.fixture
def reform(tmp_path: Path) -> PreviewReport:
    """Return the preview of 100 instead of 150.50 yuan at 80 from 1 December, and 350 for 300 at 90 two days later."""
    return preview(tmp_path, WITH_SUBSIDY, edition(old_age=REFORM))


def test_each_later_law_says_how_many_lose_and_gain_and_what_all_get(reform: PreviewReport) -> None:
    (module,) = reform.modules
    assert module.changed == 0
    first, second = module.later
    now = 3 * 6_000 + 2 * 15_050 + 30_000
    assert first.begins_at == datetime(2026, 12, 1, tzinfo=CITY)
    assert (first.people, first.worse, first.better, first.old_sum, first.new_sum) == (2, 2, 0, now, now - 2 * 5_050)
    assert (second.people, second.worse, second.better) == (3, 2, 1)
    assert (second.old_sum, second.new_sum) == (now, now - 2 * 5_050 + 5_000)


def test_each_of_the_next_days_says_how_many_lose_and_gain(reform: PreviewReport) -> None:
    (module,) = reform.modules
    assert [(day.worse, day.better) for day in module.days] == [(0, 0)] * 2 + [(2, 0)] * 2 + [(2, 1)] * 11


def test_an_author_reads_direction_and_sums_of_the_days_ahead(
    reform: PreviewReport, capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(reform, CITY, "zh")
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "2026年12月3日有以后生效的规定开始施行，届时3人的结果不同：2人变差，1人变好。" in lines
    assert "届时结果合计（每人一次）：现行至多781元，草案至多730元。" in lines
    days = {line.split()[0]: line for line in lines if line.startswith(("11-", "12-"))}
    assert days["11-30"].endswith(" 0 0 781")
    assert days["12-01"].endswith(" 2 0 781 → 680")
    assert days["12-03"].endswith(" 2 1 781 → 730")


@pytest.mark.parametrize(("budget", "says"), [("500", True), ("781", False)])
def test_a_budget_that_one_claim_of_each_person_exceeds_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], budget: str, says: bool
) -> None:
    small = edition(old_age=MODULE.replace("budget_fen: 50_000_000 yuan", f"budget_fen: {budget} yuan"))
    print_report(preview(tmp_path, RULEBOOK, small), CITY, "en")
    assert ("the budget is exceeded by up to 281 yuan" in capsys.readouterr().out) is says
