"""The ID number under which a visit was opened is bound to the visit."""

COLLECTION = "medical_visits"
ENCRYPTED = ("id_number",)
