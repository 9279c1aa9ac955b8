"""An old-age subsidy, as an official writes it: one file with its cases, and no program."""

from pathlib import Path

MODULE = """\
module: talent_code.benefits.old_age
title: {zh: 高龄津贴, en: Old-age subsidy}
facts:
  extends: BenefitFacts
  district:
    type: words
    words: [shangcheng, gongshu, xihu, other]
    from: person
    meaning: {zh: 户籍所在区, en: District of household registration}
  income_band:
    type: words
    words: [low, middle, high]
    from: person
    meaning: {zh: 家庭收入档次, en: Income band of the household}
  moved_in_on:
    type: date
    optional: true
    from: person
    meaning: {zh: 户籍迁入日期, en: Day on which the registration was moved to the city}
result: {at_least: 0 yuan, at_most: 1_000 yuan}
strategy: first
sources:
  order: "[S] the civil affairs bureau's order 12 of 2025"
terms:
  - from: 2026-01-01
    source: order
    subject: person
    gives: money
    budget_fen: 50_000_000 yuan
    times_at_most: 100
    cooldown: 28d
parameters:
  seventy_fen:
    label: {zh: 70周岁标准, en: From the age of 70}
    unit: yuan
    values:
      - {from: 2026-01-01, value: 60 yuan, source: order}
  eighty_fen:
    - {from: 2026-01-01, value: 120 yuan, source: order}
    - {from: 2026-07-01, value: 150.50 yuan, source: order}
  ninety_fen:
    - {from: 2026-01-01, value: 300 yuan, source: order}
  settled:
    label: {zh: 迁入年限, en: Years of registration}
    unit: years
    values:
      - {from: 2026-01-01, value: 1, source: order}
rules:
  - id: elsewhere
    from: 2026-01-01
    when: facts.district == "other"
    then: 0
    because: {zh: 您的户籍不在本市, en: You are not registered in the city}
    remedy: {zh: "户籍迁入满{settled}后可以申领", en: "Claim it {settled} after you have moved your registration"}
    source: order
  - id: newcomer
    from: 2026-01-01
    when: has(facts.moved_in_on) && age(facts.moved_in_on, now) < settled
    then: 0
    because: {zh: "您的户籍迁入未满{settled}", en: "You moved your registration less than {settled} ago"}
    source: order
  - id: high-income
    from: 2026-01-01
    when: facts.income_band == "high"
    then: 0
    because: {zh: 您的家庭收入属于高档, en: The income of your household is high}
    remedy: {zh: 收入档次变化后可以重新申领, en: Claim it again when the band has changed}
    source: order
  - table:
      - {years: 90, amount: ninety_fen}
      - {years: 80, amount: eighty_fen}
      - {years: 70, amount: seventy_fen}
    id: age-<years>
    from: 2026-01-01
    when: age(facts.born_at, now) >= <years>
    then: <amount>
    because: {zh: "您已年满<years>周岁，每月{<amount>}", en: "You are <years> or older: {<amount>} a month"}
    source: order
otherwise:
  then: 0
  because: {zh: 您未满70周岁, en: You are younger than 70}
  remedy: {zh: 年满70周岁当日起可以申领, en: Claim it from your 70th birthday}
"""

CASES = """\
module: talent_code.benefits.old_age
cases:
  - case: on the last second before the order there is nothing
    at: 2025-12-31T23:59:59+08:00
    given: {born_at: "1940-05-01T00:00:00+08:00", district: xihu, income_band: low}
    expect: 0
  - case: the order begins with 2026
    at: 2026-01-01T00:00:00+08:00
    given: {born_at: "1940-05-01T00:00:00+08:00", district: xihu, income_band: low}
    expect: {result: 120 yuan, rule: age-80, changes_at: "2026-07-01T00:00:00+08:00"}
  - case: on the eve of the 90th birthday
    at: 2030-04-30T23:59:59+08:00
    given: {born_at: "1940-05-01T00:00:00+08:00", district: xihu, income_band: low}
    expect: {result: 150.50 yuan, rule: age-80, changes_at: "2030-05-01T00:00:00+08:00"}
  - case: on the 90th birthday
    at: 2030-05-01T00:00:00+08:00
    given: {born_at: "1940-05-01T00:00:00+08:00", district: xihu, income_band: low}
    expect: {result: 300 yuan, rule: age-90, changes_at: never}
  - case: before July the amount is 120 yuan
    at: 2026-06-30T23:59:59+08:00
    given: {born_at: "1940-05-01T00:00:00+08:00", district: xihu, income_band: middle}
    expect: 120 yuan
  - case: from July it is 150.50 yuan
    at: 2026-07-01T00:00:00+08:00
    given: {born_at: "1940-05-01T00:00:00+08:00", district: xihu, income_band: middle}
    expect: 150.50 yuan
  - case: 70 gets 60 yuan
    at: 2026-03-01T12:00:00+08:00
    given: {born_at: "1955-05-01T00:00:00+08:00", district: gongshu, income_band: low}
    expect: 60 yuan
  - case: 69 waits for the birthday
    at: 2026-03-01T12:00:00+08:00
    given: {born_at: "1956-05-01T00:00:00+08:00", district: gongshu, income_band: low}
    expect: {result: 0, rule: otherwise, changes_at: "2026-05-01T00:00:00+08:00"}
  - case: a high income gets nothing
    at: 2026-03-01T12:00:00+08:00
    given: {born_at: "1940-05-01T00:00:00+08:00", district: xihu, income_band: high}
    expect: {result: 0, rule: high-income}
  - case: another city pays its own subsidy
    at: 2026-03-01T12:00:00+08:00
    given: {born_at: "1940-05-01T00:00:00+08:00", district: other, income_band: low}
    expect: {result: 0, rule: elsewhere}
  - case: who moved in last year waits for a full year
    at: 2026-03-01T12:00:00+08:00
    given:
      born_at: "1940-05-01T00:00:00+08:00"
      district: xihu
      income_band: low
      moved_in_on: "2025-04-01T00:00:00+08:00"
    expect: {result: 0, rule: newcomer, changes_at: "2026-04-01T00:00:00+08:00"}
"""


def write_old_age(rules: Path) -> None:
    """Add the subsidy and its cases to a folder of rules."""
    benefits = rules / "talent_code" / "benefits"
    (benefits / "old_age.yaml").write_text(MODULE, encoding="utf-8")
    (benefits / "old_age.cases.yaml").write_text(CASES, encoding="utf-8")
