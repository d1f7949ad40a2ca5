"""Each launcher of `hydra/launcher=` runs a sweep: Ray with two nodes, submitit with its local executor."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import SMALL
from tests.outcome import outcome

BIN = Path(sys.executable).parent
GRID = (*SMALL, "trainer.threads=1", "seed=0,1,2,3", "optimizer.lr=0.1,0.01")  # the last digit depends on the threads


@pytest.fixture(scope="module")
def expected(command, tmp_path_factory):
    """The outcome with Hydra's basic launcher, which runs the jobs one by one in its own process."""
    folder = tmp_path_factory.mktemp("basic") / "sweep"
    done = command("--multirun", *GRID, "hydra/launcher=basic", f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    return outcome(folder)


@pytest.mark.parametrize("workers", [2, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 3))])
def test_joblib_with_any_number_of_workers(command, tmp_path, expected, workers):
    done = command("--multirun", *GRID, f"hydra.launcher.n_jobs={workers}", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 0, done.stderr
    assert outcome(tmp_path / "sweep") == expected
    used = {json.loads(path.read_text())["pid"] for path in tmp_path.glob("sweep/*/status.json")}
    assert min(workers, 2) <= len(used) <= workers  # the third starts when others may have done it all


@pytest.mark.slow
def test_submitit(command, tmp_path, expected):
    done = command("--multirun", *GRID, "hydra/launcher=submitit_local", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 0, done.stderr
    assert outcome(tmp_path / "sweep") == expected
    assert len(list((tmp_path / "sweep" / ".submitit").glob("*/*_result.pkl"))) == 8


def test_slurm_gets_the_cores_and_the_threads_of_a_job(composed):
    launcher = composed("sweep=toy_grid", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=2").hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    assert launcher.cpus_per_task == 2
    assert list(launcher.setup) == ["export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK"]


@pytest.mark.slow
def test_ray_starts_a_local_cluster(command, tmp_path, expected):
    done = command("--multirun", *GRID, "hydra/launcher=cluster", f"hydra.sweep.dir={tmp_path}/sweep")
    assert done.returncode == 0, done.stderr
    assert outcome(tmp_path / "sweep") == expected


@contextlib.contextmanager
def ray_node(log, variables, *arguments):
    """A Ray node in its own processes, until the block ends."""
    words = [str(BIN / "ray"), "start", "--block", "--num-cpus=1", "--disable-usage-stats", *arguments]
    with log.open("w") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file, start_new_session=True, env=variables)
    try:
        deadline = time.monotonic() + 60
        while "Ray runtime started" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


@pytest.fixture
def cluster(tmp_path):
    """The environment that joins a Ray cluster of two nodes on two loopback addresses."""
    with socket.socket() as free:
        free.bind(("127.0.0.2", 0))
        address = f"127.0.0.2:{free.getsockname()[1]}"
    variables = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    short = tempfile.mkdtemp(prefix="ray")  # the paths of Ray's sockets have at most 107 characters
    port = address.rpartition(":")[2]
    head = [
        "--head",
        "--node-ip-address=127.0.0.2",
        f"--port={port}",
        "--include-dashboard=false",
        f"--temp-dir={short}",
    ]
    second = ["--node-ip-address=127.0.0.3", f"--address={address}"]
    with ray_node(tmp_path / "head.log", variables, *head), ray_node(tmp_path / "second.log", variables, *second):
        yield variables | {"RAY_ADDRESS": address}
    shutil.rmtree(short, ignore_errors=True)


def node_of(pid):
    """The address of the Ray node that a worker process belongs to; None if it has ended."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        parent = next(line.split()[1] for line in lines if line.startswith("PPid:"))
        words = Path(f"/proc/{parent}/cmdline").read_text().split("\0")
        return next(word for word in words if word.startswith("--node_ip_address="))


@pytest.mark.slow
def test_ray_joins_a_cluster_and_uses_both_nodes(command, tmp_path, cluster, expected):
    folder, nodes, over = tmp_path / "sweep", {}, threading.Event()

    def look():
        while not over.wait(0.05):
            for path in folder.glob("*/status.json"):
                nodes[path.parent.name] = nodes.get(path.parent.name) or node_of(json.loads(path.read_text())["pid"])

    watcher = threading.Thread(target=look)
    watcher.start()
    done = command("--multirun", *GRID, "hydra/launcher=cluster", f"hydra.sweep.dir={folder}", env=cluster)
    over.set()
    watcher.join()
    assert done.returncode == 0, done.stderr
    assert outcome(folder) == expected
    assert set(nodes.values()) - {None} == {"--node_ip_address=127.0.0.2", "--node_ip_address=127.0.0.3"}
