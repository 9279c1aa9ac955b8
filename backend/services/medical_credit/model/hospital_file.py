"""The file in which a hospital reports its visits once a day, and our records in the same format.

CSV with a header line, in UTF-8 (with or without a byte order mark) or GB18030; amounts in yuan with two places:

```
visit,record,id,of,code,amount,fund,account,cash
V1,charge,L1,,110100001,50.00,,,
V1,credit,C1,L1,,-10.00,,,
V1,settlement,6f1c...,,,40.00,24.00,10.00,6.00
V1,counter,P1,,,6.00,,,
```

`record` is `charge`, `credit`, `adjustment`, `settlement` (`id` is the id of the insurance settlement, `amount` the
medical fee) or `counter` (a payment at the hospital's counter). A visit is listed in the file of the day on which it
was settled. `account` includes the family account.

In our own file, a text that a spreadsheet would run as a formula has an apostrophe in front. A hospital's file is read
as it is.
"""

import csv
import io
import re
from collections.abc import Iterable
from typing import cast

from msgspec import Struct

from backend.csv_cells import text_cell
from backend.i18n import decimal_yuan
from backend.problems import FieldError, Problem
from backend.services.medical_credit.model.visit import LineKind, Visit
from backend.services.medical_credit.ports import SettlementRecord

COLUMNS = ("visit", "record", "id", "of", "code", "amount", "fund", "account", "cash")
MAX_ROWS = 500_000
MAX_FAULTS = 20

RECORDS = ("charge", "credit", "adjustment", "settlement", "counter")
NO_SETTLEMENT = "-"
"""The id of a settlement that the insurance did not number."""

_YUAN = re.compile(r"(-?)(\d{1,10})\.(\d{2})", re.ASCII)
_MAX_NAME = 64


class InvalidFile(Problem):
    """The hospital's file has format errors; `errors` name rows and columns."""

    status = 422


class FiledLine(Struct, frozen=True, gc=False):
    """A line of a visit in the hospital's records or in ours."""

    id: str
    record: LineKind
    of: str
    code: str
    amount_fen: int


class FiledVisit(Struct):
    """A visit in the hospital's records or in ours; `duplicates` are the ids of repeated lines.

    `counter` has the amounts paid at the counter by their ids.
    """

    lines: dict[str, FiledLine] = {}
    settlement: SettlementRecord | None = None
    counter: dict[str, int] = {}
    duplicates: list[str] = []


def read_file(text: str) -> dict[str, FiledVisit]:
    """Return the visits of a hospital's file by number. Raises InvalidFile, which lists at most twenty faults."""
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    faults: list[FieldError] = []
    found: dict[str, FiledVisit] = {}
    try:
        if tuple(next(rows, ())) != COLUMNS:
            faults.append(FieldError("row 1", f"the columns must be {','.join(COLUMNS)}"))
        for number, row in enumerate(rows, 2):
            if faults and (len(faults) >= MAX_FAULTS or number == 2):  # noqa: PLR2004  with a wrong header every row is wrong
                break
            if number > MAX_ROWS:
                faults.append(FieldError(f"row {number}", f"a file can have at most {MAX_ROWS:,} rows"))
                break
            if row:
                _read_row(row, f"row {number}", found, faults)
    except csv.Error as error:
        faults.append(FieldError(f"row {rows.line_num}", str(error)))
    if faults:
        raise InvalidFile(
            zh="对账文件格式有误，请按所列的行和列更正后重新提交。",
            en="The hospital's file has errors; correct the listed rows and columns and submit it again.",
            errors=tuple(faults),
        )
    return found


def _read_row(row: list[str], where: str, found: dict[str, FiledVisit], faults: list[FieldError]) -> None:
    if len(row) != len(COLUMNS):
        faults.append(FieldError(where, f"has {len(row)} columns, not {len(COLUMNS)}"))
        return
    values: dict[str, str] = dict(zip(COLUMNS, (value.strip() for value in row), strict=True))
    before = len(faults)
    faults.extend(
        FieldError(f"{where}, {column}", f"must have 1 to {_MAX_NAME} characters")
        for column in ("visit", "id")
        if not 1 <= len(values[column]) <= _MAX_NAME
    )
    if values["record"] not in RECORDS:
        faults.append(FieldError(f"{where}, record", f"must be one of {', '.join(RECORDS)}"))
    amounts = ("amount", "fund", "account", "cash") if values["record"] == "settlement" else ("amount",)
    fen = [_fen(values[column], f"{where}, {column}", faults) for column in amounts]
    if len(faults) > before:
        return
    visit, record, key = found.setdefault(values["visit"], FiledVisit()), values["record"], values["id"]
    if record == "settlement":
        visit.settlement = SettlementRecord(key, values["visit"], *fen)
    elif record == "counter":
        visit.counter[key] = fen[0]
    elif key in visit.lines:
        visit.duplicates.append(key)
    else:
        visit.lines[key] = FiledLine(key, cast("LineKind", record), values["of"], values["code"], fen[0])


def _fen(text: str, where: str, faults: list[FieldError]) -> int:
    found = _YUAN.fullmatch(text)
    if found is None:
        faults.append(FieldError(where, "must be an amount in yuan with two decimal places, such as 12.50"))
        return 0
    sign, whole, part = found.groups()
    return int(f"{sign}{whole}{part}")


def our_record(visit: Visit) -> FiledVisit:
    """Return our record of a visit."""
    settled = visit.settlement
    return FiledVisit(
        {line.id: FiledLine(line.id, line.kind, line.of or "", line.code, line.amount_fen) for line in visit.lines},
        settled
        and SettlementRecord(
            settled.split.settlement_id or NO_SETTLEMENT,
            visit.number,
            settled.split.medfee_fen,
            settled.split.fund_fen,
            settled.split.account_fen + settled.split.family_account_fen,
            settled.split.cash_fen,
        ),
        {payment.id: payment.amount_fen for payment in visit.counter_payments},
    )


def write_file(visits: Iterable[Visit]) -> str:
    """Return our records of visits in the hospital's format."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for visit in visits:
        number, ours = text_cell(visit.number), our_record(visit)
        for line in ours.lines.values():
            names = map(text_cell, (line.id, line.of, line.code))
            rows.writerow([number, line.record, *names, decimal_yuan(line.amount_fen), "", "", ""])
        settled = ours.settlement
        if settled is not None:
            shares = (settled.medfee_fen, settled.fund_fen, settled.account_fen, settled.cash_fen)
            settlement = (
                settled.settlement_id if settled.settlement_id == NO_SETTLEMENT else text_cell(settled.settlement_id)
            )
            rows.writerow([number, "settlement", settlement, "", "", *map(decimal_yuan, shares)])
        for payment, fen in ours.counter.items():
            rows.writerow([number, "counter", text_cell(payment), "", "", decimal_yuan(fen), "", "", ""])
    return text.getvalue()
