"""Messages that a process logs once, however many layers have the same reason to log them."""

import functools
import logging

log = logging.getLogger("lstm_ae")


@functools.cache
def warn_once(message: str) -> None:
    """Logs a warning, at its first call with this message."""
    log.warning(message)
