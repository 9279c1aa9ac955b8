"""The ID number and the name of a person are bound to the person's document."""

COLLECTION = "profiles"
ENCRYPTED = ("id_number", "name")
