"""A process that has imported what `python run.py` needs, and forks into each `python ...` of the tests.

Importing takes four of the five seconds of a small run. The command line itself is a process of its own, as a user's.
"""

import atexit
import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
MESSAGE = 1 << 20
PREPARED = (
    "lstm_ae.cli", "lstm_ae.experiment.configured", "lstm_ae.plots", "lstm_ae.tasks", "matplotlib.figure",
    "sklearn.datasets", "sklearn.decomposition",
)  # fmt: skip


class Zygote:
    """Runs `python SCRIPT ...`, `python -m MODULE ...` and `python -c CODE` in forks of one prepared process.

    Args:
        more: Modules that it imports besides; one may compute something, on one thread: others would not be forked.
    """

    def __init__(self, *more: str) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote", str(theirs.fileno()), *more],
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            env=os.environ | ({"OMP_NUM_THREADS": "1"} if more else {}),
            stdout=subprocess.DEVNULL if more else None,
        )
        theirs.close()

    def run(
        self, words: Sequence[str], cwd: Path | str, env: dict[str, str] | None
    ) -> subprocess.CompletedProcess[str]:
        """Returns the outcome of a command line, as `subprocess.run` does."""
        request = {"words": list(words), "cwd": str(cwd), "env": dict(os.environ if env is None else env)}
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            socket.send_fds(self._socket, [json.dumps(request).encode()], [out.fileno(), err.fileno()])
            answer = self._socket.recv(64)
            assert answer, "the prepared process has ended"
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(list(words), int(answer), out.read(), err.read())

    def close(self) -> None:
        """Ends the prepared process."""
        self._socket.close()
        self._process.wait(timeout=60)


def serve(connection: socket.socket, more: Sequence[str]) -> None:
    """Forks for each request, one at a time, and answers with its exit code."""
    for name in (*PREPARED, *more):
        importlib.import_module(name)
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, MESSAGE, 2)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            connection.close()
            _become(json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, object], out: int, err: int) -> None:
    """Runs a command line in this process, and ends it."""
    os.setsid()
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    os.chdir(str(request["cwd"]))
    code: object = 0
    try:
        _run(list(request["words"]))  # type: ignore[call-overload]
    except SystemExit as end:
        code = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    threading._shutdown()  # the order in which an interpreter ends
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _run(words: list[str]) -> None:
    """Does what an interpreter does with its arguments."""
    if words[0] in ("-m", "-c"):
        option, what, *rest = words
        sys.argv, sys.path[0] = [option, *rest], str(Path.cwd())
        if option == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(what, {"__name__": "__main__"})
    else:
        sys.argv, sys.path[0] = words, str(Path(words[0]).parent)
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
