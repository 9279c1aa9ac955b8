"""Notices to the person whose code an official report turned red, or whose report was withdrawn."""

from datetime import datetime

from backend.city.notices import notify
from backend.city.service import City
from backend.i18n import Text
from backend.services.health_code.code import STYLES
from backend.services.health_code.model import HealthEventReceipt, HealthRecord, is_red_by
from backend.services.health_code.rule_modules import COLOUR


async def notify_of_red(city: City, receipt: HealthEventReceipt, record: HealthRecord, now: datetime) -> None:
    """Notify the person, once, if their code is red because of this event; the notice says no more than the code."""
    if not is_red_by(record, receipt.id, city.rulebook, now):
        return
    because = city.rulebook.evaluate(COLOUR, record.facts, now).because
    text = Text(
        zh=f"您的健康码已转为红码：{because.zh}。请打开健康码查看详情。",
        en=f"Your health code is now red: {because.en}. Open your health code for details.",
    )
    await notify(city, receipt.person, f"health_code/{receipt.id}/red", text)


async def notify_of_withdrawal(city: City, receipt: HealthEventReceipt, record: HealthRecord, now: datetime) -> None:
    """Notify the person, once, that a report was withdrawn, and of the colour that their code has now."""
    label = STYLES[city.rulebook.evaluate(COLOUR, record.facts, now).result].label
    text = Text(
        zh=f"一项有关您健康码的报告已被撤回，您的健康码现为{label.zh}。",
        en=f"A report that concerns your health code was withdrawn. Your code is now {label.en}.",
    )
    await notify(city, receipt.person, f"health_code/{receipt.id}/withdrawn", text)
