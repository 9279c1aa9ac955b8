"""The engine shared by benefit services: offers, budgets, claims, waiting lists, payouts, audits and claw-backs.

A subject, a person or a firm, claims what the rules offer, and is paid from a yearly budget within seconds. Claims that
the budget does not cover wait for it. Audits compare paid claims with the registries, and claim back what was too much.

Read `terms`, `claim` and `offers` first, then `process` (the next step of a claim) and `saga` (all steps on one page),
`claims` and `transfers`, `budget` and `waitlist`, and last `audits`. `service` is what a service gives.
"""
