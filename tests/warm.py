"""When imported, runs one job and one sweep, so that forks of this process find everything loaded."""

import sys
import tempfile

from lstm_ae import cli
from tests.faulty import TINY

with tempfile.TemporaryDirectory() as folder:
    for words in ([*TINY, f"hydra.run.dir={folder}/run"], ["--multirun", *TINY, f"hydra.sweep.dir={folder}/sweep"]):
        sys.argv = ["run.py", *words]
        assert cli.report_errors() == 0
