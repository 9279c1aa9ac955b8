"""Checks of files and their layout: encodings, names, YAML and keys."""

from backend.i18n import Text
from backend.rulebook.checks import Check
from backend.rulebook.checks.example import EXAMPLE, changed

_BECAUSE = "{zh: 年满70周岁, en: You are 70 or older}"

CHECKS = (
    Check(
        code="R001",
        title=Text(
            zh="文件无法读取、为空或编码不是 UTF-8", en="A file cannot be read, is empty or is not saved as UTF-8"
        ),
        why=Text(
            zh="用其他编码保存的汉字会变成乱码。示例的文件以 GBK 编码保存。",
            en="Chinese texts in another encoding turn into nonsense. The file of the example is saved as GBK.",
        ),
        bad=EXAMPLE,
        good=EXAMPLE,
        saved_as="gbk",
    ),
    Check(
        code="R002",
        title=Text(zh="文件名不能作为模块名", en="The name of a file cannot name a module"),
        why=Text(
            zh="模块按文件夹和文件命名：只用小写字母、数字和下划线，以 .yaml 结尾。示例的文件名是 old-age.yaml。",
            en="A module has the name of its folder and file: lower-case letters, digits and _, ending in .yaml. "
            "The file of the example is named old-age.yaml.",
        ),
        bad=EXAMPLE,
        good=EXAMPLE,
        named="old-age.yaml",
    ),
    Check(
        code="R003",
        title=Text(zh="YAML 的结构有误", en="The structure of the YAML is broken"),
        why=Text(
            zh="冒号、引号、括号或缩进有一处不对，文件就无法读取。",
            en="The file cannot be read if a colon, quote, bracket or indentation is wrong.",
        ),
        bad=changed(EXAMPLE, ("strategy: most_severe", "strategy most_severe")),
        good=EXAMPLE,
    ),
    Check(
        code="R004",
        title=Text(zh="内容过长或嵌套过深", en="Something is too long or nested too deeply"),
        why=Text(
            zh="一个文件、一个条件和一个模块的规则数各有上限；过大的请拆分。",
            en="Files, conditions and the rules of a module have limits; split what is larger.",
        ),
        bad=changed(EXAMPLE, ("[none, basic, high]", f"{'[' * 41}none, basic, high{']' * 41}")),
        good=EXAMPLE,
    ),
    Check(
        code="R005",
        title=Text(zh="不支持的 YAML 写法", en="This form of YAML is not supported"),
        why=Text(
            zh="规则文件不用锚点、别名和标签，读者看到的就是全部内容。",
            en="A rule file has no anchors, aliases or tags: what a reader sees is all that it says.",
        ),
        bad=changed(EXAMPLE, ("value: 80", "value: !age 80")),
        good=EXAMPLE,
    ),
    Check(
        code="R006",
        title=Text(zh="同一个键写了两次", en="A key is written twice"),
        why=Text(
            zh="两个值只能有一个生效；多半是漏了新一项开头的“- ”。",
            en="Only one of the values could count; often the `- ` of a new item is missing.",
        ),
        bad=changed(EXAMPLE, ("strategy: most_severe\n", "strategy: most_severe\nstrategy: first\n")),
        good=EXAMPLE,
    ),
    Check(
        code="R007",
        title=Text(
            zh="排版用了全角标点或制表符，或缺少空格",
            en="The layout has full-width punctuation or tabs, or lacks a space",
        ),
        why=Text(
            zh="冒号、逗号、连字符和缩进用半角字符，冒号和连字符后有一个空格。",
            en="Colons, commas, dashes and indentation are ASCII characters, with a space after a colon or a dash.",
        ),
        bad=changed(EXAMPLE, ("strategy: most_severe", "strategy：most_severe")),
        good=EXAMPLE,
    ),
    Check(
        code="R008",
        title=Text(zh="句子被 # 截断", en="A # cuts a sentence"),
        why=Text(
            zh="空格加 # 是注释的开头，后面的文字市民看不到。",
            en="A # after a space begins a comment: citizens would not see the rest of the sentence.",
        ),
        bad=changed(
            EXAMPLE, ("  - id: old\n", "  - id: old\n"), (_BECAUSE, "\n      zh: 年满70周岁\n      en: See window # 3")
        ),
        good=changed(EXAMPLE, (_BECAUSE, '\n      zh: 年满70周岁\n      en: "See window # 3"')),
    ),
    Check(
        code="R009",
        title=Text(zh="应加引号的文本没有引号", en="A text needs quotes"),
        why=Text(
            zh="含有冒号、花括号内的逗号或以符号开头的文本，不加引号会被拆开。",
            en="A text with a colon, with a comma within { }, or that begins with a symbol would be taken apart.",
        ),
        bad=changed(EXAMPLE, (_BECAUSE, "{zh: 年满70周岁, en: You are 70, or older}")),
        good=changed(EXAMPLE, (_BECAUSE, '{zh: 年满70周岁, en: "You are 70, or older"}')),
    ),
    Check(
        code="R010",
        title=Text(zh="没有这个键", en="There is no such key"),
        why=Text(zh="写错的键不会有任何作用。", en="A misspelt key would have no effect."),
        bad=changed(
            EXAMPLE, ('value: 80, source: "[V] order 1"', 'value: 80, source: "[V] order 1", untill: 2030-01-01')
        ),
        good=changed(
            EXAMPLE,
            ('value: 80, source: "[V] order 1"', 'value: 80, source: "[V] order 1", until: 2030-01-01'),
            (
                "    from: 2020-01-01\n    when: facts.age >= high_age",
                "    from: 2020-01-01\n    until: 2030-01-01\n    when: facts.age >= high_age",
            ),
        ),
    ),
    Check(
        code="R011",
        title=Text(zh="缺少键或字段", en="A key or a field is missing"),
        why=Text(
            zh="例如每条规则都有依据，每段文本都有中英两种语言。",
            en="Every rule has a source, for example, and every text is in both languages.",
        ),
        bad=changed(EXAMPLE, (_BECAUSE, "{zh: 年满70周岁}")),
        good=EXAMPLE,
    ),
    Check(
        code="R012",
        title=Text(
            zh="单个值、列表与键值的形式不符", en="A value, a list or keys stand where another of them is expected"
        ),
        why=Text(
            zh="文本按语言列出，可能的结果是列表，日期是单个值。",
            en="A text has a key for each language, the results are a list, a day is a single value.",
        ),
        bad=changed(EXAMPLE, (_BECAUSE, "年满70周岁")),
        good=EXAMPLE,
    ),
    Check(
        code="R013",
        title=Text(zh="名称或词的写法不当", en="A name or a word has the wrong form"),
        why=Text(
            zh="编号、结果和参数的名称用小写字母、数字、- 和 _，供程序和案例引用；给人看的文字写在别处。",
            en="Programs and cases refer to ids, results and parameters, of lower-case letters, digits, - and _. "
            "What people read stands elsewhere.",
        ),
        bad=changed(EXAMPLE, ("id: old\n", "id: 高龄\n")),
        good=EXAMPLE,
    ),
    Check(
        code="R014",
        title=Text(zh="模块名与路径不符", en="A module has another name than its path"),
        why=Text(
            zh="subsidy/old_age.yaml 中的模块名为 subsidy.old_age，看到名称就知道文件在哪里。",
            en="The module in subsidy/old_age.yaml is subsidy.old_age, so that its name says where it is.",
        ),
        bad=changed(EXAMPLE, ("module: subsidy.old_age", "module: subsidy.oldage")),
        good=EXAMPLE,
    ),
)
"""R001 to R014."""
