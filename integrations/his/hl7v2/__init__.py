"""The HL7 v2 interface for hospitals: MLLP, messages and acknowledgements."""
