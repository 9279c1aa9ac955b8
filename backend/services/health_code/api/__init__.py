"""The routes of the health code, by audience: citizen, gate, officer."""
