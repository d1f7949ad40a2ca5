"""Benchmarks, run by hand and recorded in the README. They alternate two variants and report ratios."""
