"""Calls a compiled function on torch's threads."""

import ctypes
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def run_on_threads(task: int, fields: int, threads: int) -> None:
    """Calls the function at address `task` with the address `fields` once on each thread, and waits for all."""
    if threads == 1:
        TASK(task)(fields)
    elif (parallel := _openmp()) is not None:
        parallel(task, fields, threads, 0)
    else:
        list(_pool().map(TASK(task), [fields] * threads))


@functools.cache
def _openmp() -> Any:
    """Returns the function by which GNU's OpenMP, torch's on Linux, starts a parallel region; None where it is missing.

    The same threads as torch's own operations: a second set would compete with them for the processor.
    """
    try:
        call = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return None
    call.argtypes, call.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    return call


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count())
