"""What is known of metrics by their names; needs no torch."""

#: Metrics of which more is better. Of every other one less is.
HIGHER_IS_BETTER = frozenset({"accuracy", "direction_accuracy"})
