"""What the fields of a European digital certificate mean.

https://ec.europa.eu/health/system/files/2022-02/covid-certificate_json_specification_en.pdf
"""

from backend.i18n import Text

_EVENTS = {
    "v": Text(zh="接种", en="vaccination"),
    "t": Text(zh="检测", en="test"),
    "r": Text(zh="康复", en="recovery"),
}
_FIELDS = {
    "tg": Text(zh="所针对的疾病", en="disease concerned"),
    "vp": Text(zh="疫苗种类", en="type of the vaccine"),
    "mp": Text(zh="疫苗产品", en="vaccine"),
    "ma": Text(zh="生产企业或检测试剂", en="manufacturer, or device of the test"),
    "dn": Text(zh="已接种剂次", en="number of the dose"),
    "sd": Text(zh="全程所需剂次", en="number of doses of the whole course"),
    "dt": Text(zh="接种日期", en="day of the vaccination"),
    "co": Text(zh="国家", en="country"),
    "is": Text(zh="签发机构", en="issuer of the certificate"),
    "ci": Text(zh="证书编号", en="identifier of the certificate"),
    "tt": Text(zh="检测类型", en="type of the test"),
    "nm": Text(zh="检测名称", en="name of the test"),
    "sc": Text(zh="采样时间", en="time of the sample"),
    "tr": Text(zh="检测结果", en="result of the test"),
    "tc": Text(zh="检测机构", en="test centre"),
    "fr": Text(zh="首次阳性检测日期", en="day of the first positive test"),
    "df": Text(zh="证书有效期起", en="first day of the certificate"),
    "du": Text(zh="证书有效期止", en="last day of the certificate"),
}


def meaning_of(path: str) -> Text:
    """Return what the value at a path means, such as `payload.v.0.dt`."""
    if path == "payload.dob":
        return Text(zh="出生日期（payload.dob）", en="Day of birth (payload.dob)")
    match path.split("."):
        case ["payload", event] if event in _EVENTS:
            what = _EVENTS[event]
            return Text(zh=f"是否有{what.zh}记录（{path}）", en=f"Whether there is a {what.en} ({path})")
        case ["payload", event, number] if event in _EVENTS and number.isdecimal():
            what, place = _EVENTS[event], int(number) + 1
            return Text(
                zh=f"是否有第{place}条{what.zh}记录（{path}）", en=f"Whether there is {what.en} {place} ({path})"
            )
        case ["payload", event, number, key] if event in _EVENTS and key in _FIELDS:
            what, field = _EVENTS[event], _FIELDS[key]
            return Text(
                zh=f"第{int(number) + 1}条{what.zh}记录的{field.zh}（{path}）",
                en=f"{what.en.capitalize()} {int(number) + 1}: {field.en} ({path})",
            )
        case _:
            return Text(zh=f"数据中的 {path}", en=f"The value at {path}")
