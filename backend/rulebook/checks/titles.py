"""What each check finds that has no example in the catalogue yet. A test compares the list with the codes in use."""

from collections.abc import Mapping

from backend.i18n import Text

TITLES: Mapping[str, Text] = {
    "R001": Text(zh="文件无法读取、为空或编码不是 UTF-8", en="a file that is unreadable, empty or not UTF-8"),
    "R002": Text(zh="文件名或后缀不当", en="a file name that cannot name a module"),
    "R003": Text(zh="YAML 结构有误", en="an error of YAML's grammar"),
    "R004": Text(zh="过长或嵌套过深", en="too long, too many or nested too deeply"),
    "R005": Text(zh="不支持的 YAML 写法", en="YAML that is not supported"),
    "R006": Text(zh="键重复", en="a key that is written twice"),
    "R007": Text(
        zh="排版用了全角标点、制表符或缺少空格", en="full-width punctuation, tabs or missing spaces of the layout"
    ),
    "R008": Text(zh="句子被 # 截断", en="a sentence that a comment cuts"),
    "R009": Text(zh="应加引号的文本没有引号", en="a text that needs quotes"),
    "R010": Text(zh="未知的键", en="an unknown key"),
    "R011": Text(zh="缺少键或字段", en="a missing key or field"),
    "R012": Text(zh="单个值、列表与键值的形式不符", en="a value, list or mapping in another's place"),
    "R013": Text(zh="名称或词的写法不当", en="a name or word of wrong form"),
    "R014": Text(zh="模块名与路径不符", en="a module that its path names otherwise"),
    "R015": Text(zh="未知的事实结构", en="unknown facts"),
    "R016": Text(zh="策略未知或与结果不符", en="a strategy that is unknown or does not fit the results"),
    "R017": Text(zh="文本为空或过长", en="a text that is empty or too long"),
    "R018": Text(zh="日期或时刻的写法不当", en="a day, instant or period of wrong form"),
    "R019": Text(zh="值的写法或类型不当", en="a value of wrong form or type"),
    "R020": Text(zh="应为同一类型的值类型不同", en="values of different types"),
    "R021": Text(zh="参数值的日期乱序或重叠", en="dated values out of order or overlapping"),
    "R022": Text(zh="规则有效而参数没有值", en="a rule in force without a value of its parameter"),
    "R023": Text(zh="编号或名称重复", en="an id or name that is taken"),
    "R024": Text(zh="模块没有的结果、规则或参数", en="a result, rule or parameter that the module does not have"),
    "R025": Text(zh="数字超出范围", en="a number outside its bounds"),
    "R026": Text(zh="条款缺失或多余", en="terms that are missing or not expected"),
    "R027": Text(zh="条款提到的模块不存在", en="terms that name an unknown module"),
    "R028": Text(zh="字段互相矛盾", en="fields that contradict each other"),
    "R030": Text(zh="条件的语法有误", en="an error of a condition's grammar"),
    "R031": Text(zh="条件中的文本有误", en="an error within a condition's text"),
    "R032": Text(zh="规则语言不这样写", en="what the rule language writes otherwise"),
    "R033": Text(zh="比较连写", en="chained comparisons"),
    "R034": Text(zh="条件中的单位、百分比、日期或千分位", en="a unit, percentage, date or separator in a condition"),
    "R035": Text(zh="未知的名称", en="an unknown name"),
    "R036": Text(zh="未知的字段", en="an unknown field"),
    "R037": Text(zh="函数未知或用法不当", en="a function that is unknown or used wrongly"),
    "R038": Text(zh="类型不符", en="types that do not fit"),
    "R039": Text(zh="可能没有值的事实", en="a fact that may be absent"),
    "R040": Text(zh="事实没有的词", en="a word that a fact does not have"),
    "R041": Text(zh="可能出错的计算", en="a computation that can fail"),
    "R042": Text(zh="`now` 的用法不当", en="`now` in a computation of unknown change"),
    "R043": Text(zh="不是条件", en="a value in the place of a condition"),
    "R044": Text(zh="不属于规则语言的写法", en="CEL that is not part of the rule language"),
    "R045": Text(zh="案例与预期不符", en="a case that fails"),
    "R046": Text(zh="案例缺失或没有预期", en="cases that are missing or expect nothing"),
    "R047": Text(zh="静默有误或没有作用", en="a silence that is wrong or silences nothing"),
    "R048": Text(zh="城市服务用不了的模块", en="a module that the city's services cannot use"),
    "R070": Text(zh="永远不会成立的规则", en="a rule that can never fire"),
    "R071": Text(zh="被遮蔽的规则", en="a rule that is shadowed"),
    "R072": Text(zh="`unique` 下重叠的规则", en="two rules that overlap under `unique`"),
    "R073": Text(zh="来源没有标记", en="a source without its mark"),
    "R074": Text(zh="文本的语言不对", en="a text in the wrong language"),
    "R075": Text(zh="文本金额与规定不符", en="an amount in a text that differs from the law"),
    "R076": Text(zh="案例没有覆盖的规则", en="a rule that no case covers"),
    "R077": Text(zh="案例没有覆盖的变更时刻", en="a change of the law that no case covers"),
}

SILENCED = frozenset({"R073", "R074", "R075"})
"""Those of them that an author may silence, with a reason; see `modules.silence`."""
