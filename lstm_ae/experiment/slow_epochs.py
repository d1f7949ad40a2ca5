"""A warning where other work slows a run down."""

import logging
import math
import statistics

SLOW = 5  # times the median, from which on an epoch is said to be slow
FEWEST_EPOCHS = 3  # of which there is a usual time

log = logging.getLogger("lstm_ae")


class SlowEpochs:
    """Says once that an epoch took many times as long as the others: other work on the machine, or too many threads."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._warned = False

    def see(self, seconds: float) -> None:
        """Takes note of an epoch."""
        usual = statistics.median(self._seconds) if len(self._seconds) >= FEWEST_EPOCHS else math.inf
        if seconds > SLOW * usual and seconds > 1 and not self._warned:
            self._warned = True
            log.warning("Epoch %d took %.3g s, %.0f times the median: other work slows this machine down. "
                "trainer.threads=1 suffers least.", len(self._seconds) + 1, seconds, seconds / usual)  # fmt: skip
        self._seconds.append(seconds)
