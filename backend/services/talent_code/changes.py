"""What may change the facts of the talent code: a person declares qualifications, and registries confirm the rest."""

from backend.i18n import Text
from backend.rulebook.explanation.changes import Change

_PRIZES = {
    "nobel": Text(zh="诺贝尔奖", en="a Nobel Prize"),
    "fields": Text(zh="菲尔兹奖", en="a Fields Medal"),
    "turing": Text(zh="图灵奖", en="a Turing Award"),
    "state_supreme": Text(zh="国家最高科学技术奖", en="the State Supreme Science and Technology Award"),
    "state_first": Text(zh="国家科学技术奖一等奖", en="a first prize of the State Science and Technology Awards"),
    "state_second": Text(zh="国家科学技术奖二等奖", en="a second prize of the State Science and Technology Awards"),
    "provincial_first": Text(
        zh="省科学技术奖一等奖", en="a first prize of the Provincial Science and Technology Awards"
    ),
    "provincial_second": Text(
        zh="省科学技术奖二等奖", en="a second prize of the Provincial Science and Technology Awards"
    ),
    "municipal_first": Text(zh="市科学技术奖一等奖", en="a first prize of the Municipal Science and Technology Awards"),
}
_TITLES = {
    "academician": Text(zh="两院院士", en="academician"),
    "foreign_academician": Text(zh="发达国家最高学术权威机构会员", en="academician of a developed country"),
    "national_leader": Text(zh="国家级领军人才", en="national leading talent"),
    "national_young_leader": Text(zh="国家级青年人才", en="national young talent"),
    "provincial_leader": Text(zh="省级领军人才", en="provincial leading talent"),
    "provincial_young_leader": Text(zh="省级青年人才", en="provincial young talent"),
    "municipal_leader": Text(zh="市级领军人才", en="municipal leading talent"),
    "master_of_craft": Text(zh="工匠大师", en="master artisan"),
    "professor": Text(zh="正高级职称", en="professor or equal"),
    "associate_professor": Text(zh="副高级职称", en="associate professor or equal"),
    "senior_technician": Text(zh="高级技师", en="senior technician"),
    "technician": Text(zh="技师", en="technician"),
}
_POSTS = {
    "world_500_chief": Text(zh="世界500强企业总部主要负责人", en="head of one of the world's 500 largest companies"),
    "national_laboratory_head": Text(zh="国家实验室主任", en="head of a national laboratory"),
    "listed_company_chief": Text(zh="上市公司主要负责人", en="head of a listed company"),
    "provincial_laboratory_head": Text(zh="省实验室主任", en="head of a provincial laboratory"),
    "unicorn_founder": Text(zh="独角兽企业创始人", en="founder of a unicorn company"),
    "key_firm_head": Text(zh="本市重点企业主要负责人", en="head of a key company of the city"),
}
_DEGREES = {
    "bachelor": Text(zh="学士", en="bachelor"),
    "master": Text(zh="硕士", en="master"),
    "doctor": Text(zh="博士", en="doctor"),
}
_SCHOOLS = {
    "ordinary": Text(zh="普通高校", en="an ordinary university"),
    "key": Text(zh="重点高校", en="a key university"),
    "world_100": Text(zh="世界百强高校", en="one of the world's top 100 universities"),
}
_CLASSES = {name: Text(zh=f"{name.upper()}类", en=f"class {name.upper()}") for name in "abcde"}

_MONTHS = Change(
    what=Text(zh="在本市参加社会保险的月数增加", en="Have more months of social insurance in the city"),
    path="insured_months",
    act="set",
    by="authority",
    direction="up",
)

TALENT_CHANGES = (
    Change(
        what=Text(zh="取得学位，填写申报并经核实", en="Earn a degree, declare it, and have it confirmed"),
        path="degrees",
        act="add",
        words={**_DEGREES, **_SCHOOLS},
    ),
    Change(
        what=Text(zh="取得称号或职称，填写申报并经核实", en="Be granted a title, declare it, and have it confirmed"),
        path="titles",
        act="add",
        words=_TITLES,
    ),
    Change(
        what=Text(zh="获得奖项，填写申报并经核实", en="Be awarded a prize, declare it, and have it confirmed"),
        path="prizes",
        act="add",
        words=_PRIZES,
    ),
    Change(
        what=Text(zh="担任职务，填写申报并经核实", en="Take up a post, declare it, and have it confirmed"),
        path="posts",
        act="add",
        words=_POSTS,
    ),
    Change(
        what=Text(
            zh="有一个自然年达到该收入，填写申报并经核实", en="Earn such an income in a calendar year, and declare it"
        ),
        path="pay",
        act="add",
    ),
    _MONTHS,
)

BENEFIT_CHANGES = (
    Change(
        what=Text(zh="在本市没有住房", en="Own no home in the city"),
        path="homes",
        act="set",
        direction="down",
    ),
    Change(
        what=Text(zh="支出金额增加", en="Spend more"),
        path="spent_fen",
        act="set",
        direction="up",
    ),
    Change(
        what=Text(zh="取得学位，填写申报并经核实", en="Earn a degree, declare it, and have it confirmed"),
        path="degree",
        act="set",
        words=_DEGREES,
    ),
    Change(
        what=Text(zh="毕业时间经核实", en="Have the date of your graduation confirmed"),
        path="graduated_at",
        act="set",
    ),
    Change(
        what=Text(zh="认定为更高的人才类别", en="Be granted another talent class"),
        path="talent_class",
        act="set",
        by="authority",
        words=_CLASSES,
    ),
    Change(
        what=Text(zh="人才类别开始生效", en="Your talent class takes effect"),
        path="class_since",
        act="set",
        by="authority",
    ),
    _MONTHS,
    Change(
        what=Text(zh="上一年度收入变化", en="Have another income in the last full year"),
        path="income_fen",
        act="set",
        by="authority",
    ),
    Change(
        what=Text(zh="上一年度缴纳的个人所得税增加", en="Pay more income tax in the last full year"),
        path="tax_fen",
        act="set",
        by="authority",
        direction="up",
    ),
)
