"""A signal's rows as they come in: the score of a step is that of the whole signal, whatever the chunks."""

import functools

import numpy as np
import pandas as pd
import pytest

import lstm_ae
from lstm_ae.data.frames import from_frame
from lstm_ae.models import Autoencoder, BottleneckAutoencoder, ResidualPredictor
from lstm_ae.tasks import Anomaly, Denoising, Prediction, Reconstruction
from tests.test_frames import table

WINDOW = 8
SMALL = functools.partial(Autoencoder, hidden_size=3)
MODELS = {
    "kernel alone": (SMALL, Reconstruction, {}),
    "a linear head": (functools.partial(BottleneckAutoencoder, hidden_size=5), Reconstruction, {}),
    "nn.LSTM of two layers": (
        functools.partial(BottleneckAutoencoder, hidden_size=5, num_layers=2),
        Reconstruction,
        {},
    ),
    "prediction": (functools.partial(ResidualPredictor, hidden_size=3), Prediction, {}),
    "anomaly": (SMALL, functools.partial(Anomaly, threshold="quantile"), {"test_share": 0.1}),
    "noise": (SMALL, Denoising, {"scaling": "minmax"}),
    "holes": (SMALL, Reconstruction, {"missing": "mask"}),
    "scaled by the first step": (
        functools.partial(Autoencoder, hidden_size=3),
        Reconstruction,
        {"scaling": "relative"},
    ),
}
EXACT = {"kernel alone", "holes", "anomaly", "noise", "scaled by the first step"}


def signal(name, rows=90):
    own = table(machines=1, rows=rows)[["sensor_0", "sensor_1"]].to_numpy()
    own = own + 20
    if name == "holes":
        own[np.random.default_rng(1).random(own.shape) < 0.1] = np.nan
        own[30:40, 1] = np.nan  # a sensor that is off for longer than a window
    return own


@pytest.fixture(scope="module")
def of(tmp_path_factory):
    """From a name to the trained model, its signal, and the scores of the whole signal."""

    @functools.cache
    def get(name):
        model, task, options = MODELS[name]
        frame = pd.DataFrame(signal(name), columns=["a", "b"])
        data = from_frame(frame, window=WINDOW, **options)
        trained = lstm_ae.fit(data, model, task, epochs=1, run_dir=tmp_path_factory.mktemp("run")).trained
        return trained, signal(name), trained.score_samples([signal(name)]).values[0]

    return get


def chunked(trained, rows, rng):
    """The errors of a signal's steps, its rows passed in chunks of random sizes, of one row by `update`."""
    stream, found, at, known = trained.stream(), np.zeros(len(rows)), 0, 0
    while at < len(rows):
        size = int(rng.integers(1, rng.choice([3, 20, len(rows)]) + 1))
        if size == 1:
            one = stream.update(rows[at])
            assert (one is None) == (at < WINDOW - 1)
            if one is not None:
                assert at - WINDOW + 1 <= one[0] <= at  # at most window - 1 rows late
                assert one[0] == known or known == 0  # where the first window is complete, the last step that is known
                found[one[0]], known = one[1], one[0] + 1
        else:
            some = stream.extend(rows[at : at + size])
            assert some.first == known
            known += len(some.values)
            found[some.first : known] = some.steps
        at += size
    rest = stream.finish()
    assert rest.first == known
    found[known:] = rest.steps
    return found


def check(of, name, trials, seed=0):
    """Passes chunks after prefixes, and returns the largest difference, relative to the largest score."""
    trained, rows, whole = of(name)
    steps, rng, largest = whole.sum(axis=1), np.random.default_rng(seed), 0.0
    for _ in range(trials):
        first, last = sorted(rng.choice(len(rows) + 1, 2, replace=False))
        first = 0 if rng.random() < 0.2 else first
        if last - first < 2 * WINDOW:
            continue
        got = np.array(chunked(trained, rows[first:last], rng))
        assert len(got) == last - first
        begin = 0 if first == 0 else WINDOW - 1  # what came before is then another
        end = last - first if last == len(rows) else last - first - WINDOW + 1
        expected = steps[first + begin : first + end]
        difference = np.abs(got[begin:end] - expected)
        if name in EXACT:
            assert np.array_equal(got[begin:end], expected)
        largest = max(
            largest, float(np.max(difference / np.maximum(expected, 1e-300), initial=0.0, where=expected > 0))
        )
    return largest


@pytest.mark.parametrize("name", MODELS)
def test_whatever_the_chunks_and_the_prefix_a_steps_score_is_that_of_the_whole_signal(of, name):
    assert check(of, name, trials=40) <= 1e-6


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", MODELS)
def test_ten_thousand_chunkings(of, name):
    largest = check(of, name, trials=10_000, seed=1)
    print(f"\n{name}: largest relative difference {largest:.2g}")
    assert largest <= 1e-6


def test_a_row_may_be_given_by_name_in_any_order(of):
    trained, rows, whole = of("kernel alone")
    stream = trained.stream()
    found = [stream.update({"b": b, "a": a}) for a, b in rows[: WINDOW + 1]]
    assert [one[1] for one in found if one] == whole.sum(axis=1)[:2].tolist()
    stream = trained.stream()
    assert [one for one in map(stream.update, (pd.Series({"b": b, "a": a}) for a, b in rows[:9])) if one] == found[7:]


@pytest.fixture(scope="module")
def filled_in(tmp_path_factory):
    """From how missing values are filled in to the trained model, and a signal with holes."""

    @functools.cache
    def get(missing):
        frame = pd.DataFrame(signal("holes"), columns=["a", "b"])
        frame.loc[:4, "a"] = np.nan  # nothing comes before: masked
        data = from_frame(frame, window=WINDOW, missing=missing)
        trained = lstm_ae.fit(data, SMALL, Reconstruction, epochs=1, run_dir=tmp_path_factory.mktemp("run")).trained
        return trained, frame

    return get


@pytest.mark.parametrize("size", [1, 3, 60])
def test_a_live_hole_is_filled_in_with_the_value_before_as_in_training(filled_in, size):
    trained, frame = filled_in("forward")
    rows, stream = frame.to_numpy(), trained.stream()
    found = [stream.extend(rows[begin : begin + size]).values for begin in range(0, len(rows), size)]
    got = np.concatenate([*found, stream.finish().values])
    assert np.array_equal(got, trained.score_samples(frame).values[0])
    assert np.isnan(rows[35, 1])
    assert got[35, 1] > 0  # what was filled in counts


def test_interpolation_needs_later_rows_and_is_refused_live(filled_in):
    trained, frame = filled_in("interpolate")
    with pytest.raises(ValueError, match="`stream` cannot fill in as training did: missing=interpolate"):
        trained.stream()
    assert np.isfinite(trained.score_samples(frame).values[0]).all()


def test_a_finished_stream_begins_anew(of):
    trained, rows, whole = of("prediction")
    rows = rows.astype(np.float32)
    rows.setflags(write=False)  # as pandas hands them out; torch warns of such arrays
    assert np.array_equal(trained.score_samples(rows[None]).values[0], whole)
    stream = trained.stream()
    for _ in range(2):
        got = np.concatenate([stream.extend(rows).values, stream.finish().values])
        assert np.array_equal(got, whole)
    assert not stream.extend(rows[:3]).values.size
    assert stream.finish().steps.tolist() == [0, 0, 0]  # no window was complete


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1.0], r"A row must hold 2 values \(a, b\), got rows of the shape \(1, 1\)"),
        ({"a": 1.0}, "A row must hold a, b, and 'b' is missing"),
        ([1.0, np.nan], "Step 0 of the stream must be a number, and 'b' is missing"),
        ([1.0, np.inf], "Step 0 of the stream must be a number, and 'b' is infinite"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_and_the_stream_goes_on(of, row, message):
    trained, rows, whole = of("kernel alone")
    stream = trained.stream()
    stream.extend(rows[:20])
    with pytest.raises(ValueError, match=message):
        stream.update(row)
    assert np.array_equal(stream.extend(rows[20:]).values, whole[13:83])


def test_steps_of_an_anomaly_score_near_the_ends_of_a_signal_have_the_lowest_score(of):
    trained, rows, whole = of("anomaly")
    assert (whole[: WINDOW - 1] == 0).all()
    assert (whole[-WINDOW + 1 :] == 0).all()
    assert (whole[WINDOW - 1 : -WINDOW + 1] > 0).all()
    for length in (WINDOW + 1, 2 * WINDOW - 2):
        with pytest.raises(ValueError, match=rf"must have 15 rows, .*and x\[0\] has {length}"):
            trained.score_samples([rows[:length]])
    assert (trained.score_samples([rows[: 2 * WINDOW - 1]]).steps[0] > 0).sum() == 1
    assert (trained.score_samples([rows[:WINDOW]]).steps[0] > 0).all()  # of one window by itself


class OfSequences(Reconstruction):
    """One error a sequence."""

    def errors(self, batch, output):
        return super().errors(batch, output).mean(dim=(1, 2))


def test_a_task_with_one_error_a_sequence_has_no_stream(tmp_path):
    data = from_frame(pd.DataFrame(signal("noise"), columns=["a", "b"]), window=WINDOW)
    trained = lstm_ae.fit(data, SMALL, OfSequences, epochs=1, run_dir=tmp_path).trained
    with pytest.raises(ValueError, match="needs a task with an error a step, and this one has one error a sequence"):
        trained.stream().extend(signal("noise"))
    scores = trained.score_samples(signal("noise")[None, :WINDOW])
    assert scores.sequences.shape == (1,)
    assert scores.steps is None
