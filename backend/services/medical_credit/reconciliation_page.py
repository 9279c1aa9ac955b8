"""A day's reconciliation as a page that a finance officer takes in at one look: no script, no other server."""

from collections import Counter
from html import escape

from backend.i18n import yuan
from backend.services.medical_credit.model.hospital import Hospital
from backend.services.medical_credit.model.reconciliation import Break, BreakKind, Handling, Reconciliation, RepairKind

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
td, th { border-top: 1px solid #8886; padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top }
.fen { text-align: right; font-variant-numeric: tabular-nums } .good { color: #2a7 } .bad { color: #c33 }
small { opacity: .7 }
"""

KINDS: dict[BreakKind, str] = {
    "visit_only_there": "就诊仅医院有 · visit only at the hospital",
    "visit_only_here": "就诊仅我方有 · visit only here",
    "line_only_there": "明细仅医院有 · line only at the hospital",
    "line_only_here": "明细仅我方有 · line only here",
    "line_differs": "明细不一致 · line differs",
    "line_twice_there": "医院明细重复 · line twice at the hospital",
    "settlement_differs": "结算不一致 · settlement differs",
    "counter_differs": "窗口收款不一致 · counter payments differ",
    "insurance_only_there": "结算仅医保有 · settlement only at the insurance",
    "insurance_only_here": "结算仅我方有 · settlement only here",
    "insurance_differs": "医保分割不一致 · split differs at the insurance",
    "payment_only_at_bank": "付款仅银行有 · payment only at the bank",
    "payment_only_here": "付款仅我方有 · payment only here",
    "refund_only_at_bank": "退款仅银行有 · refund only at the bank",
    "refund_only_here": "退款仅我方有 · refund only here",
    "transfer_differs": "收付金额不一致 · transfer differs",
}
REPAIRS: dict[RepairKind, str] = {
    "take_charge": "补记收费 · take the charge late",
    "take_credit": "补记退费 · take the credit late",
    "credit_line": "冲销明细 · credit the line",
    "adjust_line": "调整差额 · adjust by the difference",
    "cancel_at_insurance": "撤销医保结算 · cancel it at the insurance",
    "settle_again": "重新结算 · settle again",
    "take_banks_word": "以银行为准 · take the bank's word",
    "ask_bank_again": "再次查询银行 · ask the bank again",
    "ask_hospital": "与医院核实 · ask the hospital",
}
_STATES = {
    "open": "待处理 · open",
    "accepted": "已受理 · accepted",
    "approved": "已批准 · approved",
    "repaired": "已修复 · repaired",
    "unfit": "不适用 · did not fit",
}


def reconciliation_page(found: Reconciliation, hospital: Hospital) -> str:
    """Give a day as HTML: whether it agrees, the sums, the breaks by kind, and each break with both its sides."""
    name, left = escape(f"{hospital.name} {found.day}"), found.open_breaks()
    verdict = (
        "<p class=good>各方一致 · all sides agree</p>"
        if not left
        else f"<p class=bad>{len(left)} 项差异未解决 · {len(left)} breaks are open</p>"
    )
    parts = [
        f"<!doctype html><html lang=zh><meta charset=utf-8><title>{name}</title>",
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>",
        f"<h1>对账 · Reconciliation</h1><h2>{name}</h2>{verdict}",
        f"<p><small>{found.made_at:%Y-%m-%d %H:%M} UTC · {found.file_digest[:16]}</small></p>",
        _totals(found),
    ]
    if found.breaks:
        parts.append(_by_kind(found))
        titles = ("差异 · break", "就诊 · visit", "对象 · subject", "我方 · ours", "对方 · theirs", "修复 · repair")
        head = "".join(f"<th>{title}" for title in (*titles, "状态 · state"))
        rows = "".join(_row(one, found.handling(one.id)) for one in found.breaks)
        parts.append(f"<table><tr>{head}{rows}</table>")
    if found.left_out:
        parts.append(f"<p class=bad>另有 {found.left_out} 项未列出 · {found.left_out} more are not listed</p>")
    return "\n".join(parts)


def _totals(found: Reconciliation) -> str:
    sums = found.totals
    shown = (
        ("就诊数 · visits", str(sums.visits)),
        ("医疗总费用 · medical fees", yuan(sums.medfee_fen)),
        ("统筹基金 · insurance fund", yuan(sums.fund_fen)),
        ("个人账户 · own accounts", yuan(sums.account_fen)),
        ("个人现金 · cash shares", yuan(sums.cash_fen)),
        ("信用额度内 · within limits", yuan(sums.covered_fen)),
        ("急诊例外 · exceptions", yuan(sums.exception_fen)),
        ("窗口收款 · at the counter", yuan(sums.counter_fen)),
        ("当日收款 · paid this day", yuan(sums.paid_fen)),
        ("当日退款 · refunded this day", yuan(sums.refunded_fen)),
        ("应付医院 · owed to the hospital", yuan(sums.payout_fen)),
    )
    return f"<table>{''.join(f'<tr><th>{title}<td class=fen>{figure}' for title, figure in shown)}</table>"


def _by_kind(found: Reconciliation) -> str:
    counted = Counter[BreakKind](one.kind for one in found.breaks)
    rows = "".join(f"<tr><th>{KINDS[kind]}<td class=fen>{number}" for kind, number in counted.most_common())
    return f"<table>{rows}</table>"


def _row(one: Break, handling: Handling) -> str:
    ours, theirs = ("–" if fen is None else yuan(fen) for fen in (one.ours_fen, one.theirs_fen))
    said = f"<br><small>{escape(handling.said)}</small>" if handling.said else ""
    return (
        f"<tr><td>{KINDS[one.kind]}<br><small>{one.id}</small><td>{escape(one.number)}<td>{escape(one.subject)}"
        f"<td class=fen>{ours}<td class=fen>{theirs}<td>{REPAIRS[one.repair]}<td>{_STATES[handling.state]}{said}"
    )
