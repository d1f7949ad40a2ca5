"""Sequences, one module a source; and how their values are scaled."""
