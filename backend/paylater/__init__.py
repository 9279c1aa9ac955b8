"""The engine of pay-later services: credit is held, billed once, and paid, debited or refunded exactly once.

A service subclasses `Account` and `Billable`, puts the steps of `steps`, `transfers` and `effects` and its own into the
table of one `Saga`, and gives `PayLater` its limits and terms. Read `credit_line`, `account`, `bill`, `steps`, then
`coverage`, `effects` and `transfers`. `statement` and `repairs` reconcile money with the bank, and `family` has payers.
`tests/paylater/pool.py` is a whole service.
"""
