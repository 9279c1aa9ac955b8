"""The engine shared by pay-later services: credit accounts with two-phase holds."""
