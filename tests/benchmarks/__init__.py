"""Benchmarks, run by hand and recorded in docs/. They alternate two variants and report ratios."""
