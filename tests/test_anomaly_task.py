"""`task=anomaly`: from a table to scores, a threshold and alarms, with and without labels."""

import numpy as np
import pandas as pd
import pytest

import lstm_ae

SMALL = (
    "dataset=table", "task=anomaly", "model=bottleneck", "model.hidden_size=4", "model.latent_size=2",
    "trainer.epochs=2", "dataset.window=8", "figures=false",
)  # fmt: skip


def pump(rows=900, seed=0, burst=(700, 712)):
    """Three sensors, an hour a row; `heat` is noise in the burst."""
    rng = np.random.default_rng(seed)
    phase = np.arange(rows) / 4
    values = np.stack([np.sin(phase), np.cos(phase), np.sin(phase / 2)], axis=1) + rng.normal(0, 0.1, (rows, 3))
    values[slice(*burst), 0] += rng.normal(0, 4, burst[1] - burst[0])
    frame = pd.DataFrame(values, columns=["heat", "flow", "noise"])
    frame.insert(0, "timestamp", pd.date_range("2024-01-01", periods=rows, freq="h"))
    frame["flag"] = (np.arange(rows) >= burst[0]) & (np.arange(rows) < burst[1])
    frame["flag"] = frame["flag"].astype(int)
    return frame


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("pump") / "pump.csv"
    pump().to_csv(path, index=False)
    return path


def read(path, name):
    return lstm_ae.run_dir.RunDir(path).read_json(name)


def test_a_table_without_labels_gives_scores_a_threshold_and_alarms(run_in, table, tmp_path):
    run_in(tmp_path, *SMALL, f"dataset.path={table}", "dataset.features=[heat,flow,noise]", "task.rate=1/day")
    alarms = pd.read_csv(tmp_path / "alarms.csv")
    hit = alarms[(alarms.start <= "2024-01-30T16") & (alarms.end >= "2024-01-30T04")]
    assert len(hit)
    assert hit.features.str.startswith("heat").all()
    metrics = read(tmp_path, "metrics.json")["test"]
    assert metrics["alarms"] == len(alarms)
    assert "vus_pr" not in metrics


def test_labels_are_judged_and_the_rows_before_them_are_what_is_normal(run_in, table, tmp_path):
    run_in(
        tmp_path, *SMALL, f"dataset.path={table}", "dataset.label=flag", "dataset.normal=600", "task.threshold=quantile"
    )
    assert read(tmp_path, "metrics.json")["test"]["vus_pr"] > 0.5
