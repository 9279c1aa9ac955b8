"""Documents, pure decisions and Problems of pay later; nothing here does I/O."""
