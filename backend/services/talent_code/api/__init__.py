"""Routes of the talent code by audience: citizens, partners, talent officers and the bank."""
