"""Measurements, by hand: `make bench`."""
