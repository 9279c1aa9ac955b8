"""Chengma: the open backend of a city's citizen services."""
