"""The keys of authors' files, by place. The readers refuse other keys; editors and `rules/schema.json` offer these."""

MODULE_KEYS = ("module", "title", "facts", "result", "strategy", "terms", "parameters", "rules", "otherwise")
OPTIONAL_MODULE_KEYS = ("terms", "parameters")
RULE_KEYS = ("id", "from", "until", "when", "then", "because", "remedy", "source")
OPTIONAL_RULE_KEYS = ("from", "until", "remedy")
BOUNDS_KEYS = ("at_least", "at_most")
VALUE_KEYS = ("from", "until", "value", "source")
OPTIONAL_VALUE_KEYS = ("from", "until")
OTHERWISE_KEYS = ("then", "because", "remedy")
OPTIONAL_OTHERWISE_KEYS = ("remedy",)
TEXT_KEYS = ("zh", "en")

CASES_FILE_KEYS = ("module", "personas", "cases")
OPTIONAL_CASES_FILE_KEYS = ("personas",)
CASE_KEYS = ("case", "at", "on", "given", "expect")
OPTIONAL_CASE_KEYS = ("on",)
EXPECTED_KEYS = ("result", "rule", "fired", "changes_at", "because", "terms")
