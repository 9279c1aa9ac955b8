"""The keys of authors' files, by place. The readers refuse other keys; editors and `rules/schema.json` offer these."""

MODULE_KEYS = (
    "module",
    "title",
    "facts",
    "result",
    "strategy",
    "articles",
    "terms",
    "parameters",
    "rules",
    "otherwise",
)
OPTIONAL_MODULE_KEYS = ("articles", "terms", "parameters")
ORDER_KEYS = ("title", "source", "articles")
ARTICLE_KEYS = ("title", "not_encoded")
OPTIONAL_ARTICLE_KEYS = ("not_encoded",)
RULE_KEYS = ("id", "from", "until", "when", "then", "because", "remedy", "source", "article")
OPTIONAL_RULE_KEYS = ("from", "until", "remedy", "article")
BOUNDS_KEYS = ("at_least", "at_most")
PARAMETER_KEYS = ("label", "unit", "values")
OPTIONAL_PARAMETER_KEYS = ("label", "unit")
VALUE_KEYS = ("from", "until", "value", "source", "article")
OPTIONAL_VALUE_KEYS = ("from", "until", "article")
FACT_KEYS = ("type", "words", "at_least", "at_most", "fields", "optional", "from", "meaning")
REQUIRED_FACT_KEYS = ("type", "meaning")
OTHERWISE_KEYS = ("then", "because", "remedy")
OPTIONAL_OTHERWISE_KEYS = ("remedy",)
TEXT_KEYS = ("zh", "en")

CASES_FILE_KEYS = ("module", "personas", "cases")
OPTIONAL_CASES_FILE_KEYS = ("personas",)
CASE_KEYS = ("case", "at", "on", "given", "expect")
OPTIONAL_CASE_KEYS = ("on",)
EXPECTED_KEYS = ("result", "rule", "fired", "changes_at", "because", "terms")
