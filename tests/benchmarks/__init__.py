"""Measurements, run by hand and recorded in the README: ratios of two sides in turn, because machines are noisy."""
