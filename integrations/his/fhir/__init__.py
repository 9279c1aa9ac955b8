"""The FHIR R4 interface for hospitals.

`routes` receives requests, `interactions` and `bundle` perform them. Parsers (`encounters`, `charge_items`,
`payment_notices`, `eligibility_requests`) turn resources into commands, `visit_writes` applies them, and `resources`
builds what is returned.
"""
