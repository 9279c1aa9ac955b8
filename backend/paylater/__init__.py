"""The engine that pay-later services share."""
