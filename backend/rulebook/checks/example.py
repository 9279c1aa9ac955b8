"""The module that the examples of the catalogue change, and its cases."""

EXAMPLE = """\
module: subsidy.old_age
title: {zh: 高龄津贴, en: Old-age subsidy}
facts: Resident
result: [none, basic, high]
strategy: most_severe
parameters:
  high_age:
    - {from: 2020-01-01, value: 80, source: "[V] order 1"}
rules:
  - id: old
    from: 2020-01-01
    when: facts.age >= 70
    then: basic
    because: {zh: 年满70周岁, en: You are 70 or older}
    source: "[V] order 1"
  - id: very-old
    from: 2020-01-01
    when: facts.age >= high_age
    then: high
    because: {zh: 年满80周岁, en: You are 80 or older}
    source: "[V] order 1"
otherwise: {then: none, because: {zh: 未满70周岁, en: You are younger than 70}}
"""

EXAMPLE_CASES = """\
module: subsidy.old_age
cases:
  - case: at seventy one gets the basic subsidy
    at: 2021-06-01T12:00:00+08:00
    given: {age: 70}
    expect: basic
  - case: at sixty-nine one gets none
    at: 2021-06-01T12:00:00+08:00
    given: {age: 69}
    expect: none
  - case: at eighty one gets the high subsidy
    at: 2021-06-01T12:00:00+08:00
    given: {age: 80}
    expect: high
  - case: before the order there is no subsidy
    at: 2019-12-31T23:59:59+08:00
    given: {age: 80}
    expect: none
  - case: the order takes effect at midnight
    at: 2020-01-01T00:00:00+08:00
    given: {age: 80}
    expect: high
"""
