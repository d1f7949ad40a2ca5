"""The cost of the page of 200 runs: time to read and write it, and its size.

python -m tests.benchmarks.report
"""

import io
import itertools
import math
import tempfile
import time
from pathlib import Path

from matplotlib.figure import Figure

from lstm_ae.compare import load, report
from lstm_ae.compare.ranking import rank
from lstm_ae.run_dir import RunDir

EPOCHS = 20
GRID = list(itertools.product((0.1, 0.01, 0.001, 0.0001), (8, 16, 32, 64, 128), (1, 5), range(5)))  # 200 runs


def make(folder: Path) -> None:
    """Writes the run directories of a grid over five seeds, each with a figure."""
    figure = Figure(figsize=(9, 4))
    figure.subplots().plot(range(100))
    png = io.BytesIO()
    figure.savefig(png, format="png")
    for number, (lr, hidden, clipping, seed) in enumerate(GRID):
        run = RunDir(folder / str(number))
        score = 0.001 * (1 + abs(math.log10(lr) + 2)) * (1 + 8 / hidden) * (1 + seed / 50)
        trainer = {"gradient_clipping": clipping, "epochs": EPOCHS}
        config = {"seed": seed, "model": {"hidden_size": hidden}, "optimizer": {"lr": lr}, "trainer": trainer}
        run.write_json("config.json", config)
        metrics = {"loss": score, "reconstruction_mse": score}
        parts = dict.fromkeys(("train", "validation", "test"), metrics)
        run.write_json("metrics.json", {**parts, "parameters": hidden**2, "seconds": hidden / 3, "epochs": EPOCHS})
        curve = [{"epoch": epoch, "validation.loss": score * 50 / epoch} for epoch in range(1, EPOCHS + 1)]
        run.write_history(curve)
        run.write_json("status.json", {"state": "finished", "error": None})
        run.write_bytes("figures/loss.png", png.getvalue())


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        began = time.perf_counter()
        frame = load(folder)
        read = time.perf_counter()
        (page,) = report.write(rank(frame, "validation.loss"), Path(folder) / "report")
        seconds, size = time.perf_counter() - read, page.stat().st_size / 1e6
        print(f"{len(frame)} runs of {EPOCHS} epochs: read {read - began:.2f} s, page {seconds:.2f} s, {size:.1f} MB")


if __name__ == "__main__":
    main()
