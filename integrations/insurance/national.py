"""The national medical insurance interface over HTTP: the adapter of the port `Insurance`.

Each call is one POST of a signed envelope. An answer that is late, unreadable, wrongly signed, of another visit or that
does not add up raises UpstreamTimeout: it is unknown what took effect, so the saga reverses the message (2601). An
answer with an `infcode` other than 0 raises UpstreamRejected. Neither repeats `err_msg`, which may name a person.
"""

import asyncio
import base64
import itertools
import random
import re
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, DecimalException
from typing import Any, cast
from zoneinfo import ZoneInfo

import httpx
from msgspec import Struct

from backend.city.upstream import UpstreamRejected, UpstreamTimeout
from backend.services.medical_credit.ports import (
    InsuranceClaim,
    InsuredVisit,
    SettlementRecord,
    Split,
)
from integrations.insurance import envelope
from integrations.insurance.fee_lines import fee_lines, full_id, short_id
from integrations.insurance.signatures import SigningKeys

TIMEOUT_SECONDS = 20.0
MAX_LINES_PER_CALL = 100
_ERROR_CODE = re.compile(r"[\[【]?([A-Za-z0-9_-]{1,20})", re.ASCII)
_RESIDENT_CARD = "02"
_MEDICAL_TYPES = {"outpatient": "11", "emergency": "13", "inpatient": "21"}
"""The kinds of visits by the interface's med_type."""


class Connection(Struct, frozen=True, kw_only=True):
    """How to reach the interface: its address, the region (six digits), the keys, and the city's time zone."""

    url: str
    region: str
    keys: SigningKeys
    time_zone: ZoneInfo
    timeout_seconds: float = TIMEOUT_SECONDS


class NationalInsurance:
    """Settles claims at the national interface."""

    def __init__(self, connection: Connection, clock: Callable[[], datetime]) -> None:
        self._connection, self._clock = connection, clock
        self._tls = ssl.create_default_context()
        self._numbers = itertools.count(random.SystemRandom().randrange(10_000))

    async def settle(self, claim: InsuranceClaim) -> Split:
        """Register the visit, upload its lines, try the settlement and settle it (1101, 2201 to 2207, or 2301 to 2304).

        Raises UpstreamTimeout or UpstreamRejected.
        """
        async with self._client() as client:
            insured = await self._register(client, claim)
            await self._upload(client, claim, insured)
            terms = self._settlement_terms(claim, insured)
            trial, final = ("2303", "2304") if insured.inpatient else ("2206", "2207")
            tried = await self._call(client, trial, claim.institution, {"data": terms})
            if _split(tried, insured).medfee_fen != claim.medfee_fen():
                raise UpstreamRejected(f"the medical fee of the trial settlement ({trial}) is not that of the claim")
            settled = await self._call(client, final, claim.institution, {"data": terms}, self._message_id(claim))
        split = _split(settled, insured)
        if split.medfee_fen != claim.medfee_fen() or not split.settlement_id:
            raise UpstreamTimeout(f"the answer to {final} has no setl_id, or another medical fee")
        return split

    async def cancel(self, settlement_id: str, message_id: str, insured: InsuredVisit | None) -> None:
        """Cancel a settlement (2208, 2305). Raises UpstreamTimeout or UpstreamRejected."""
        if insured is None:
            raise UpstreamRejected(f"the registration of settlement {settlement_id} is unknown")
        code = "2305" if insured.inpatient else "2208"
        data = {"setl_id": settlement_id, "mdtrt_id": insured.visit, "psn_no": insured.person}
        async with self._client() as client:
            await self._call(client, code, insured.institution, {"data": data}, self._now_id(insured, message_id))

    async def reverse(self, claim: InsuranceClaim) -> None:
        """Reverse the settlement of a claim whose answer was lost (2601). Raises UpstreamTimeout."""
        async with self._client() as client:
            try:
                person, _ = await self._person(client, claim)
                data = {
                    "psn_no": person,
                    "omsgid": self._message_id(claim),
                    "oinfno": "2304" if claim.kind == "inpatient" else "2207",
                }
                await self._call(client, "2601", claim.institution, {"data": data})
            except UpstreamRejected as error:  # the settlement may be in force, so this is tried again
                raise UpstreamTimeout(f"the insurance does not reverse: {error}") from error

    async def settlements(self, hospital: str, institution: str, day: date) -> Sequence[SettlementRecord]:
        """Return an institution's settlements of a day that are in force (3201, 3202). Raises UpstreamTimeout."""
        del hospital
        period = {"stmt_begndate": day.isoformat(), "stmt_enddate": day.isoformat()}
        async with self._client() as client:
            try:
                totals = await self._call(client, "3201", institution, {"data": {"clr_type": "11", **period}})
                count = int(str(_member(totals, "stmtinfo").get("fixmedins_setl_cnt", "-1")))
                details = await self._call(client, "3202", institution, {"data": period})
                query = {"file_qury_no": str(_member(details, "fileinfo").get("file_qury_no", "")), **period}
                file = await self._call(client, "9102", institution, {"fsDownloadIn": query})
                records = list(_records(str(file.get("content", "")), institution))
            except (UpstreamRejected, ValueError, KeyError, DecimalException) as error:
                raise UpstreamTimeout(f"the insurance does not list its settlements: {error}") from error
        if len(records) != count:
            raise UpstreamTimeout(f"the insurance counts {count} settlements and lists {len(records)}")
        return records

    # ── the steps of a claim ──

    async def _person(self, client: httpx.AsyncClient, claim: InsuranceClaim) -> tuple[str, str]:
        """Return a person's number at the insurance and the kind of their insurance (1101)."""
        data = {
            "mdtrt_cert_type": _RESIDENT_CARD,
            "mdtrt_cert_no": claim.id_number,
            "psn_cert_type": "01",
            "certno": claim.id_number,
            "begntime": self._local(claim.opened_at),
        }
        found = await self._call(client, "1101", claim.institution, {"data": data})
        kinds = cast("list[dict[str, Any]]", found.get("insuinfo") or [{}])
        return _text(_member(found, "baseinfo"), "psn_no"), str(kinds[0].get("insutype") or "")

    async def _register(self, client: httpx.AsyncClient, claim: InsuranceClaim) -> InsuredVisit:
        """Register the visit (2201 and 2203, or 2401); a repeated registration has the same number."""
        person, insurance = await self._person(client, claim)
        visit = {"psn_no": person, "insutype": insurance, "begntime": self._local(claim.opened_at)}
        visit |= {"mdtrt_cert_type": _RESIDENT_CARD, "mdtrt_cert_no": claim.id_number}
        visit |= {"ipt_otp_no": short_id(claim.visit), "med_type": _MEDICAL_TYPES[claim.kind]}
        inpatient = claim.kind == "inpatient"
        if inpatient:
            answer = await self._call(client, "2401", claim.institution, {"mdtrtinfo": visit, "diseinfo": []})
            return InsuredVisit(claim.institution, _text(_member(answer, "result"), "mdtrt_id"), person, inpatient)
        answer = await self._call(client, "2201", claim.institution, {"data": visit})
        number = _text(_member(answer, "data"), "mdtrt_id")
        await self._call(client, "2203", claim.institution, {"mdtrtinfo": visit | {"mdtrt_id": number}, "diseinfo": []})
        return InsuredVisit(claim.institution, number, person, inpatient)

    async def _upload(self, client: httpx.AsyncClient, claim: InsuranceClaim, insured: InsuredVisit) -> None:
        """Replace the fee lines of the visit (2205 and 2204, or 2302 and 2301)."""
        visit = {"mdtrt_id": insured.visit, "psn_no": insured.person}
        if insured.inpatient:
            await self._call(client, "2302", claim.institution, {"data": [{"feedetl_sn": "0000", **visit}]})
        else:
            await self._call(client, "2205", claim.institution, {"data": {"chrg_bchno": "0000", **visit}})
        lines = [{**line, **visit} for line in fee_lines(claim, self._connection.time_zone)]
        for start in range(0, len(lines), MAX_LINES_PER_CALL):
            batch = {"feedetail": lines[start : start + MAX_LINES_PER_CALL]}
            await self._call(client, "2301" if insured.inpatient else "2204", claim.institution, batch)

    def _settlement_terms(self, claim: InsuranceClaim, insured: InsuredVisit) -> dict[str, object]:
        return {
            "psn_no": insured.person,
            "mdtrt_cert_type": _RESIDENT_CARD,
            "mdtrt_cert_no": claim.id_number,
            "med_type": _MEDICAL_TYPES[claim.kind],
            "medfee_sumamt": Decimal(claim.medfee_fen()).scaleb(-2),
            "psn_setlway": "01",
            "mdtrt_id": insured.visit,
            "chrg_bchno": claim.batch,
            "acct_used_flag": "1",
        }

    # ── messages ──

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(verify=self._tls, timeout=self._connection.timeout_seconds, trust_env=False)

    def _local(self, at: datetime) -> str:
        return f"{at.astimezone(self._connection.time_zone):%Y-%m-%d %H:%M:%S}"

    def _message_id(self, claim: InsuranceClaim) -> str:
        """Return the msgid of the settlement of a claim, the same however often it is asked."""
        at = claim.requested_at.astimezone(self._connection.time_zone)
        return envelope.message_number(claim.institution, at, claim.message_id)

    def _now_id(self, insured: InsuredVisit, key: str) -> str:
        return envelope.message_number(insured.institution, self._clock().astimezone(self._connection.time_zone), key)

    async def _call(
        self,
        client: httpx.AsyncClient,
        code: str,
        institution: str,
        content: Mapping[str, object],
        message_id: str | None = None,
    ) -> dict[str, Any]:
        """Send a transaction and return its output. Raises UpstreamTimeout or UpstreamRejected."""
        now, keys = self._clock().astimezone(self._connection.time_zone), self._connection.keys
        members = {
            "infno": code,
            "msgid": message_id or f"{institution}{now:%Y%m%d%H%M%S}{next(self._numbers) % 10_000:04}",
            "mdtrtarea_admvs": self._connection.region,
            "insuplc_admdvs": self._connection.region,
            "recer_sys_code": "MBS",
            "infver": envelope.INTERFACE_VERSION,
            "opter_type": "2",
            "opter": "chengma",
            "opter_name": "城码",
            "inf_time": f"{now:%Y-%m-%d %H:%M:%S}",
            "fixmedins_code": institution,
            "fixmedins_name": institution,
            "input": content,
        }
        body = await asyncio.to_thread(envelope.signed, members, keys)
        try:
            response = await client.post(self._connection.url, content=body, headers=_HEADERS)
        except (httpx.HTTPError, OSError) as error:
            raise UpstreamTimeout(f"the insurance does not answer ({code}): {type(error).__name__}") from error
        answer = envelope.parse(response.content) if response.status_code == _OK else None
        if answer is None:
            raise UpstreamTimeout(f"the insurance answers {code} with status {response.status_code}, unreadably")
        if not await asyncio.to_thread(keys.verify, answer):
            raise UpstreamTimeout(f"the signature of the answer to {code} is wrong")
        if answer.get("msgid") not in (None, members["msgid"]):
            raise UpstreamTimeout(f"the answer to {code} is to another message")
        if str(answer.get("infcode")) != str(envelope.SUCCESS):
            found = _ERROR_CODE.match(str(answer.get("err_msg") or ""))
            raise UpstreamRejected(f"the insurance rejects {code}: {found[1] if found else 'no code'}")
        return _member(answer, "output")


_OK = 200
_HEADERS = {"Content-Type": "application/json; charset=utf-8"}


def _member(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = answer.get(name)
    if not isinstance(found, dict):
        raise UpstreamTimeout(f"an answer of the insurance has no {name}")
    return cast("dict[str, Any]", found)


def _text(members: Mapping[str, Any], name: str) -> str:
    found = members.get(name)
    if not isinstance(found, str) or not found:
        raise UpstreamTimeout(f"an answer of the insurance has no {name}")
    return found


def _split(answer: Mapping[str, Any], insured: InsuredVisit) -> Split:
    """Return the shares of a settlement or trial. Raises UpstreamTimeout if it is another's or does not add up."""
    found = _member(answer, "setlinfo")
    if (found.get("mdtrt_id"), found.get("psn_no")) != (insured.visit, insured.person):
        raise UpstreamTimeout("the settlement in the answer belongs to another visit")
    split = Split(
        settlement_id=str(found.get("setl_id") or ""),
        medfee_fen=_fen(found, "medfee_sumamt"),
        fund_fen=_fen(found, "fund_pay_sumamt"),
        hospital_part_fen=_fen(found, "hosp_part_amt"),
        account_fen=_fen(found, "acct_pay"),
        family_account_fen=_fen(found, "acct_mulaid_pay"),
        cash_fen=_fen(found, "psn_cash_pay"),
        insured=insured,
    )
    if not split.adds_up() or _fen(found, "psn_part_amt") != split.person_fen():
        raise UpstreamTimeout("the shares in the answer do not total the medical fee")
    return split


def _fen(members: Mapping[str, Any], name: str) -> int:
    """Return an amount in yuan, a number or a text, in fen; a missing one is zero."""
    value = members.get(name)
    if value in (None, ""):
        return 0
    try:
        fen = Decimal(str(value)) * 100
        if fen == int(fen):
            return int(fen)
    except (DecimalException, ValueError, OverflowError):
        pass
    raise UpstreamTimeout(f"an answer of the insurance has an invalid {name}")


def _records(content: str, institution: str) -> Iterable[SettlementRecord]:
    """Yield the records of a result file (9102): Base64 of lines with a header, separated by tabs."""
    rows = [line.split("\t") for line in base64.b64decode(content, validate=True).decode().splitlines() if line]
    if not rows:
        return
    for row in rows[1:]:
        named = dict(zip(rows[0], row, strict=True))
        account_fen = _fen(named, "acct_pay") + _fen(named, "acct_mulaid_pay")
        insured = InsuredVisit(institution, named["mdtrt_id"], named["psn_no"], named["med_type"] == "21")
        yield SettlementRecord(
            settlement_id=named["setl_id"],
            visit=full_id(named["ipt_otp_no"]),
            medfee_fen=_fen(named, "medfee_sumamt"),
            fund_fen=_fen(named, "fund_pay_sumamt"),
            account_fen=account_fen,
            cash_fen=_fen(named, "psn_cash_pay"),
            insured=insured,
        )
