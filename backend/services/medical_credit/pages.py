"""A hospital's reconciled day as one page for finance officers, without scripts or other servers."""

from collections import Counter
from collections.abc import Iterable
from datetime import date
from html import escape
from zoneinfo import ZoneInfo

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from backend.city.audit_log import new_act, record_act
from backend.city.service import City
from backend.i18n import yuan
from backend.paylater.repairs import STATE_TITLES, Resolution
from backend.security.identity import CitizenRequest, role_guard
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.reconciliation import (
    DIFFERENCE_TITLES,
    REPAIR_TITLES,
    Difference,
    DifferenceKind,
    Reconciliation,
)
from backend.services.medical_credit.reconciliation import find_hospital, find_reconciliation

operator = role_guard("operator")

_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-store"}
_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
td, th { border-top: 1px solid #8886; padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top }
.fen { text-align: right; font-variant-numeric: tabular-nums } .good { color: #2a7 } .bad { color: #c33 }
small { opacity: .7 }
"""
_HEAD = (
    "<tr><th>差异 · difference<th>就诊号 · visit<th>对象 · subject<th>我方 · ours<th>对方 · theirs<th>修复 · repair"
    "<th>状态 · state"
)


@get("/v1/reconciliations/{hospital:str}/{day:str}/page", guards=[operator], media_type="text/html")
async def show_reconciliation_page(
    request: CitizenRequest, city: NamedDependency[City], hospital: FromPath[str], day: FromPath[date]
) -> Response[str]:
    """Show the reconciliation of a hospital's day as an HTML page."""
    found = await find_reconciliation(city, hospital, day)
    act = new_act(city, request.user, "operator", "medical_credit.day_read", f"{hospital} {day}")
    await record_act(city, act)
    page = reconciliation_page(found, await find_hospital(city, hospital), city.rulebook.time_zone)
    return Response(page, media_type="text/html", headers=_HEADERS)


def reconciliation_page(found: Reconciliation, hospital: Hospital, zone: ZoneInfo) -> str:
    """Return the page as HTML: the verdict, the totals, the differences by kind, and each with both sides."""
    name, open_ = escape(f"{hospital.name} {found.day}"), found.open_differences()
    verdict = (
        "<p class=good>各方一致 · no differences</p>"
        if not open_
        else f"<p class=bad>{len(open_)}项差异未解决 · {len(open_)} differences are open</p>"
    )
    parts = [
        f"<!doctype html><html lang=zh><meta charset=utf-8><title>{name}</title>",
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>",
        f"<h1>对账 · Reconciliation</h1><h2>{name}</h2>{verdict}",
        f"<p><small>北京时间{found.created_at.astimezone(zone):%Y-%m-%d %H:%M} · {found.file_digest[:16]}</small></p>",
        _totals(found),
    ]
    if found.differences:
        parts.append(_by_kind(found))
        rows = "".join(_row(one, found.resolution(one.id)) for one in found.differences)
        parts.append(f"<table>{_HEAD}{rows}</table>")
    if found.omitted:
        parts.append(f"<p class=bad>另有{found.omitted}项未列出 · {found.omitted} more are not listed</p>")
    return "\n".join(parts)


def _totals(found: Reconciliation) -> str:
    totals = found.totals
    rows = (
        ("就诊人次 · visits", str(totals.visits)),
        ("医疗费总额 · medical fees", yuan(totals.medfee_fen)),
        ("医保基金支付 · paid by the insurance fund", yuan(totals.fund_fen)),
        ("个人账户支付 · paid from personal accounts", yuan(totals.account_fen)),
        ("个人现金支出 · cash shares", yuan(totals.cash_fen)),
        ("信用额度内 · within credit limits", yuan(totals.covered_fen)),
        ("急诊超额部分 · over the limit (emergencies)", yuan(totals.exception_fen)),
        ("窗口支付 · paid at the counter", yuan(totals.counter_fen)),
        ("当日收款 · paid on this day", yuan(totals.paid_fen)),
        ("当日退款 · refunded on this day", yuan(totals.refunded_fen)),
        ("应付医院 · owed to the hospital", yuan(totals.payout_fen)),
    )
    return _figures(rows)


def _by_kind(found: Reconciliation) -> str:
    counts = Counter[DifferenceKind](one.kind for one in found.differences)
    return _figures((DIFFERENCE_TITLES[kind], str(count)) for kind, count in counts.most_common())


def _figures(rows: Iterable[tuple[str, str]]) -> str:
    return f"<table>{''.join(f'<tr><th>{title}<td class=fen>{figure}' for title, figure in rows)}</table>"


def _row(one: Difference, resolution: Resolution) -> str:
    ours, theirs = ("–" if fen is None else yuan(fen) for fen in (one.ours_fen, one.theirs_fen))
    detail = f"<br>{escape(one.detail.zh)}<br>{escape(one.detail.en)}" if one.detail is not None else ""
    message = f"<br><small>{escape(resolution.message)}</small>" if resolution.message else ""
    return (
        f"<tr><td>{DIFFERENCE_TITLES[one.kind]}{detail}<br><small>{one.id}</small><td>{escape(one.number)}"
        f"<td>{escape(one.subject)}<td class=fen>{ours}<td class=fen>{theirs}<td>{REPAIR_TITLES[one.repair]}"
        f"<td>{STATE_TITLES[resolution.state]}{message}"
    )
