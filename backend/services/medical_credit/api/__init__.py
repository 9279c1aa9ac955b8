"""HTTP handlers of pay later by audience: citizens, family payers, reconciliation officers, and the bank."""
