"""How a run ends before its time: a signal becomes a KeyboardInterrupt, and a sweep's workers end with the sweep."""

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

SWEEP_PROCESS = "LSTM_AE_SWEEP_PROCESS"  # the variable with the id of the process that runs the sweep
GRACE_SECONDS = 5.0  # for a job to write its checkpoint
POLL_SECONDS = 0.2


@contextlib.contextmanager
def as_interrupt() -> Iterator[None]:
    """Has SIGTERM and SIGHUP raise KeyboardInterrupt in the block, as Ctrl-C does; once: saving is not disturbed.

    A signal that is ignored (`nohup`) stays so. Outside of the main thread nothing changes.
    """
    raised = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise KeyboardInterrupt(signal.Signals(number).name)

    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}
        before = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@functools.cache
def end_with_sweep() -> None:
    """Ends this process soon after the sweep's, if that is its parent: jobs of a cluster go on without the sweep.

    A thread watches the parent. Linux's PR_SET_PDEATHSIG would strike when the parent's *thread* ends that started the
    process, and joblib starts some from threads that come and go.
    """
    parent = os.getppid()
    if os.environ.get(SWEEP_PROCESS) == str(parent):
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    end = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < end:  # the first ends the job, a later one the process that waits for the next job
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
