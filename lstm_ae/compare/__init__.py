"""Run directories beside one another. Reads the disk only, and needs no torch."""
