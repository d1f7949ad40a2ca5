"""Whole sequences, one class held out as abnormal: scores, thresholds and areas by sequence."""

import functools
import re

import numpy as np
import pandas as pd
import pytest

import lstm_ae
from lstm_ae import score
from lstm_ae.data.digits import load_digits
from lstm_ae.data.sequences import SequenceData
from lstm_ae.models import BottleneckAutoencoder
from lstm_ae.run_dir import RunDir
from lstm_ae.tasks import Anomaly
from tests.tables import machines

SMALL = functools.partial(BottleneckAutoencoder, hidden_size=8, latent_size=3)


def waves(count=160, seed=0, abnormal=20):
    """Sequences of unequal lengths; the last ones are noise in `b`."""
    rng, frames = np.random.default_rng(seed), []
    for one in range(count):
        steps = np.arange(12 + one % 5)
        phase = rng.uniform(0, 6)
        values = np.stack([np.sin(steps / 2 + phase), np.cos(steps / 2 + phase)], axis=1)
        bad = one >= count - abnormal
        values += rng.normal(0, 0.1, values.shape)
        values[:, 1] += rng.normal(0, 2 if bad else 0, len(steps))
        frames.append(pd.DataFrame(values, columns=["a", "b"]).assign(run=f"r{one}", state="bad" if bad else "good"))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = SequenceData.from_frame(waves(), series="run", features=["a", "b"], label="state", normal="good")
    task = functools.partial(Anomaly, rate="1/10")
    return lstm_ae.fit(data, SMALL, task, epochs=15, run_dir=tmp_path_factory.mktemp("run"))


def test_classes_that_are_not_normal_are_tested_only_and_found(run):
    table, metrics = run.table("sequences"), run.metrics
    assert set(table.label) == {0, 1}
    assert metrics["test"]["auc_roc"] > 0.9
    low, high = metrics["interval"]["auc_roc"]
    assert low <= metrics["test"]["auc_roc"] <= high
    assert table[table.label == 1].sort_values("score").features.iloc[-1].startswith("b")
    assert metrics["test"]["alarms"] == table.alarm.sum()
    assert set(run.table("scores_compared").method) == {"model", "noise", "pca"}


def test_loaded_models_score_sequences_as_the_report_did(run):
    trained, frame, table = run.trained, waves(), run.table("sequences")
    scores = trained.score_samples(frame)
    kept = dict(zip(table.sequence, table.score, strict=True))
    found = dict(zip(scores.names, scores.sequences, strict=True))
    assert [found[name] for name in kept] == pytest.approx(list(kept.values()), rel=1e-4)
    assert [one.sum() for one in scores.values] == scores.sequences.tolist()
    assert trained.threshold("1/5") <= trained.threshold()


def test_the_command_puts_sequences_in_alarm(run, tmp_path, capsys):
    waves().to_csv(tmp_path / "waves.csv", index=False)
    paths = tmp_path / "scores.csv", tmp_path / "alarms.csv"
    arguments = [str(run.path), str(tmp_path / "waves.csv"), "--output", str(paths[0]), "--alarms", str(paths[1])]
    assert score.main(arguments) == 0, capsys.readouterr().err
    scores, alarms = map(pd.read_csv, paths)
    by_sequence = scores.groupby("run").agg(score=("score", "sum"), least=("alarm", "min"), most=("alarm", "max"))
    assert (by_sequence.least == by_sequence.most).all()
    assert set(by_sequence.index[by_sequence.most == 1]) == set(alarms.sequence)
    assert alarms.sort_values("score").features.iloc[-1].startswith("b")


def test_figures_of_sequences_are_drawn(run):
    assert run.figure("sequences")
    assert run.figure("precision_recall")


def test_digits_that_are_not_normal_are_flagged_and_tested_only():
    whole, data = load_digits(0.2, 0), load_digits(0.2, 0, normal=[0, 1, 2])
    kept = np.isin(whole.labels.numpy(), [0, 1, 2])
    assert data.labels is None
    assert np.array_equal(data.label_of_step.reshape(-1, 8).all(axis=1), ~kept)
    assert np.array_equal(data.label_of_step.reshape(-1, 8).any(axis=1), ~kept)
    assert data.test[~kept].all()
    assert np.array_equal(data.test[kept], whole.test[kept])


@pytest.mark.parametrize("normal", [[], [7, 12], list(range(10))])
def test_some_classes_are_normal_and_not_all(normal):
    with pytest.raises(
        ValueError, match=r"`normal` must name some of the classes 0, 1, .* and not all.*Use normal=\[0,"
    ):
        load_digits(0.2, 0, normal=normal)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"error": "prediction"}, "`error=prediction` needs windows of one length"),
        ({"rate": "1/day"}, "`task.rate` must be false alarms a sequence, such as 1/100"),
        ({"rate": "1/1000"}, "sequences cannot show 1/1000: that takes 2303"),
    ],
)
def test_what_sequences_cannot_be_judged_by_is_refused(options, message):
    data = SequenceData.from_frame(machines(20), series="machine", features=["temp"], test_share=0.2)
    model = SMALL if "error" not in options else functools.partial(lstm_ae.models.ResidualPredictor, hidden_size=3)
    with pytest.raises(ValueError, match=re.escape(message)):
        lstm_ae.fit(data, model, functools.partial(Anomaly, **options), epochs=1)


def test_the_preset_finds_the_class_that_is_held_out(run_in, tmp_path):
    run_in(tmp_path, "experiment=anomaly_sequences", "trainer.epochs=2", "model.hidden_size=8", "figures=false")
    metrics = RunDir(tmp_path).read_json("metrics.json")["test"]
    assert 0 < metrics["auc_roc"] < 1
    assert len(pd.read_csv(tmp_path / "scores_compared.csv")) == 5
