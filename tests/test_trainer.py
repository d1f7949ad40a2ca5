"""The trainer: the same seed gives the same history, resumed or not, and it stops when it should."""

import copy
import dataclasses
import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from lstm_ae.data.sequences import SequenceData, SequenceSubset
from lstm_ae.data.toy import load_toy
from lstm_ae.models import Autoencoder, BottleneckAutoencoder, VariationalAutoencoder
from lstm_ae.pooling import Pool, evaluate
from lstm_ae.tasks import Imputation, Reconstruction
from lstm_ae.trainer import StopTraining, Trainer, Training, choose_device, epoch_seed
from lstm_ae.types import Metric, Output, Score, total

DATA = load_toy(sequences=60, length=40, seed=0, test_share=0.2)
TRAIN, VALIDATION = (
    SequenceSubset(DATA, index, DATA.fit_scaling(np.arange(40))) for index in (np.arange(40), np.arange(40, 60))
)


RECORDED_HISTORY = {"train": [0.12174129, 0.11134827, 0.10684037], "validation": [0.11284481, 0.10725523, 0.10733893]}


def start(lr=0.01, scheduler=None, dropout=0.2):
    torch.manual_seed(0)
    model = BottleneckAutoencoder(features=1, hidden_size=3, dropout=dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    scheduler = scheduler or (lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0))
    return Training(model, optimizer, scheduler(optimizer))


def go(training, trainer, task=None, seed=5, objective="loss", **options):
    task = task or Reconstruction()
    return list(trainer.train(training, task, TRAIN, VALIDATION, seed=seed, objective=objective, **options))


def without_time(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_same_seed_gives_the_same_history_and_weights_and_another_does_not():
    runs = [start(), start(), start()]
    for training, seed in zip(runs, (5, 5, 6), strict=True):
        go(training, Trainer(epochs=3, batch_size=16), seed=seed)
    assert without_time(runs[0].history) == without_time(runs[1].history)
    assert same(runs[0].best_weights, runs[1].best_weights)
    assert without_time(runs[0].history) != without_time(runs[2].history)


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0),
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.02, total_steps=15),
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5),
        lambda optimizer: torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0),
    ],
    ids=["constant", "one_cycle", "cosine", "plateau"],
)
def test_resumed_training_is_bit_identical_to_undisturbed(scheduler, tmp_path):
    trainer = Trainer(epochs=5, batch_size=16)
    undisturbed = start(scheduler=scheduler)
    go(undisturbed, trainer)

    stopped = start(scheduler=scheduler)
    rows = trainer.train(stopped, Reconstruction(), TRAIN, VALIDATION, seed=5)
    next(rows), next(rows)
    torch.save(stopped.state_dict(), tmp_path / "checkpoint.pt")
    torch.rand(7)  # whatever else drew random numbers in between
    resumed = start(scheduler=scheduler)
    resumed.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    go(resumed, trainer)

    assert without_time(resumed.history) == without_time(undisturbed.history)
    assert same(resumed.model.state_dict(), undisturbed.model.state_dict())
    assert same(resumed.best_weights, undisturbed.best_weights)
    assert resumed.best_epoch == undisturbed.best_epoch


def lesson(length):
    data = load_toy(sequences=60, length=length, seed=0, test_share=0.2)
    scaling = data.fit_scaling(np.arange(40))
    return SequenceSubset(data, np.arange(40), scaling), SequenceSubset(data, np.arange(40, 60), scaling)


class Lengthened(BottleneckAutoencoder):
    """Counts what it is told, and changes by it."""

    def lengthen(self, factor):
        self.told = [*getattr(self, "told", []), factor]
        with torch.no_grad():
            next(self.parameters()).mul_(factor)


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_a_model_is_told_where_the_sequences_of_a_curriculum_become_longer_resumed_or_not(stopped_after):
    def begin():
        training = start()
        training.model.__class__ = Lengthened
        return training

    def rows(training):
        lessons = [(*lesson(36), 2), (*lesson(72), 1)]
        trainer = Trainer(epochs=2, batch_size=16, curriculum=[[4, 2], [2, 1]])
        return trainer.train(training, Reconstruction(), *lesson(144), seed=5, lessons=lessons)

    undisturbed, stopped, resumed = begin(), begin(), begin()
    assert len(list(rows(undisturbed))) == 5
    assert undisturbed.model.told == [2, 2]
    running = rows(stopped)
    for _ in range(stopped_after):
        next(running)
    resumed.load_state_dict(copy.deepcopy(stopped.state_dict()))
    list(rows(resumed))
    assert without_time(resumed.history) == without_time(undisturbed.history)
    assert same(resumed.model.state_dict(), undisturbed.model.state_dict())


def test_three_epochs_follow_the_recorded_history():
    """A refactor leaves this unchanged; 1e-4 is what another processor's arithmetic may add."""
    torch.manual_seed(0)
    model = Autoencoder(features=1, hidden_size=4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    training = Training(model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0))
    go(training, Trainer(epochs=3, batch_size=16, gradient_clipping=1.0))
    assert [row["train.loss"] for row in training.history] == pytest.approx(RECORDED_HISTORY["train"], rel=1e-4)
    assert [row["validation.loss"] for row in training.history] == pytest.approx(
        RECORDED_HISTORY["validation"], rel=1e-4
    )


def test_a_step_is_clipped_to_the_global_norm():
    training = start()
    seen = []

    def watch(*_):
        norms = [parameter.grad.norm() for parameter in training.model.parameters()]
        seen.append(float(torch.stack(norms).norm()))

    training.optimizer.register_step_pre_hook(watch)
    go(training, Trainer(epochs=1, batch_size=16, gradient_clipping=0.001))
    assert len(seen) == 3
    assert max(seen) <= 0.001 * (1 + 1e-4)


def test_every_sequence_is_seen_once_an_epoch_in_a_new_order():
    orders = []

    class Watched:
        def __len__(self):
            return len(TRAIN)

        def batch(self, positions):
            orders[-1].extend(positions.tolist())
            return TRAIN.batch(positions)

        def to(self, device):
            return self

        index, data, unscaled = TRAIN.index, TRAIN.data, TRAIN.unscaled

    rows = Trainer(epochs=2, batch_size=16).train(start(), Reconstruction(), Watched(), VALIDATION, seed=0)
    for _ in range(2):
        orders.append([])
        next(rows)
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(40))
    assert orders[0] != orders[1]


def test_the_best_weights_are_those_of_the_best_epoch():
    training = start(lr=0.5)
    weights = []
    for _ in Trainer(epochs=5, batch_size=16).train(training, Reconstruction(), TRAIN, VALIDATION, seed=0):
        weights.append({name: value.clone() for name, value in training.model.state_dict().items()})
    losses = [row["validation.loss"] for row in training.history]
    assert training.best_epoch == int(np.argmin(losses)) + 1 < 5
    assert training.best_metrics["loss"] == min(losses)
    assert same(training.best_weights, weights[training.best_epoch - 1])


def test_training_stops_when_patience_is_used_up():
    training = start(lr=0.5)
    go(training, Trainer(epochs=50, batch_size=16, patience=2))
    assert len(training.history) == training.best_epoch + 2 < 50


def test_of_a_metric_of_which_more_is_better_the_highest_is_best():
    class Falling(Reconstruction):
        metrics = (Metric("accuracy", "share", higher_is_better=True),)

        def score(self, batch, output):
            terms = super().score(batch, output).terms
            mean, weight = terms["reconstruction"]
            return Score(terms, {"accuracy": (mean.detach(), weight)})

    training = start()
    go(training, Trainer(epochs=3, batch_size=16), task=Falling(), objective="accuracy")
    accuracies = [row["validation.accuracy"] for row in training.history]
    assert training.best_metrics["accuracy"] == max(accuracies) > min(accuracies)


def test_a_loss_that_is_not_finite_ends_training_and_keeps_what_was_learnt():
    class Exploding(Reconstruction):
        calls = 0

        def score(self, batch, output):
            self.calls += 1
            score = super().score(batch, output)
            mean, weight = score.terms["reconstruction"]
            return Score({"reconstruction": (mean * (math.nan if self.calls > 4 else 1.0), weight)}, score.metrics)

    training = start()
    go(training, Trainer(epochs=9, batch_size=16), task=Exploding())  # 3 steps and 1 evaluation an epoch
    assert training.diverged
    assert len(training.history) == 2
    assert training.best_epoch == 1
    assert all(value.isfinite().all() for value in training.best_weights.values())


def test_means_are_over_sequences_and_not_over_batches():
    task = Reconstruction()
    part = SequenceSubset(DATA, np.arange(37), DATA.fit_scaling(np.arange(37)))
    model = Autoencoder(features=1, hidden_size=2).eval()
    with torch.no_grad():
        batch = part.batch(torch.arange(37))
        expected = float(total(task.score(batch, model(batch.inputs)).means, task.factors, {}, {}))
    assert evaluate(model, task, part)["loss"] == pytest.approx(expected, rel=1e-6)


def holed(lengths):
    """Sequences of one feature, a tenth of the values missing."""
    rng = np.random.default_rng(0)
    values = rng.random((int(lengths.sum()), 1), dtype=np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    data = SequenceData(
        values=torch.from_numpy(values),
        starts=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)[:-1]])),
        lengths=lengths,
        test=np.zeros(len(lengths), dtype=bool),
        missing="mask",
    )
    everything = np.arange(len(lengths))
    return SequenceSubset(data, everything, data.fit_scaling(everything))


RAGGED = holed(np.random.default_rng(1).integers(4, 30, 50))


def test_a_subset_of_which_nothing_counts_is_no_divergence_but_an_error():
    with pytest.raises(ValueError, match="must count at least one value, and none of 20 sequences counts"):
        go(start(), Trainer(epochs=1), task=Imputation(hidden_share=1e-9))


def test_means_of_masked_values_are_over_values_and_not_over_batches(monkeypatch):
    monkeypatch.setattr("lstm_ae.pooling.EVALUATION_BATCH", 8)
    model = Autoencoder(features=1, hidden_size=2).eval()
    errors = []
    with torch.no_grad():
        for row in range(len(RAGGED)):
            batch = RAGGED.batch(torch.tensor([row]))
            kept = int(batch.lengths)
            made = model(batch.inputs[:, :kept]).reconstruction  # by itself, without padding
            errors.append((made - batch.inputs[:, :kept])[batch.observed[:, :kept]].square())
    expected = pytest.approx(float(torch.cat(errors).mean()), rel=1e-6)
    assert evaluate(model, Reconstruction(), RAGGED) == {"loss": expected, "reconstruction_mse": expected}


def test_ragged_sequences_with_holes_train_and_are_resumed_bit_identically():
    undisturbed, stopped, resumed = start(), start(), start()
    trainer = Trainer(epochs=3, batch_size=16)
    list(trainer.train(undisturbed, Reconstruction(), RAGGED, RAGGED, seed=5))
    assert undisturbed.history[-1]["validation.loss"] < undisturbed.history[0]["validation.loss"]
    next(trainer.train(stopped, Reconstruction(), RAGGED, RAGGED, seed=5))
    resumed.load_state_dict(copy.deepcopy(stopped.state_dict()))
    list(trainer.train(resumed, Reconstruction(), RAGGED, RAGGED, seed=5))
    assert without_time(resumed.history) == without_time(undisturbed.history)
    assert same(resumed.model.state_dict(), undisturbed.model.state_dict())


def test_a_subset_on_a_gpu_is_asked_for_batches_by_positions_from_anywhere():
    """Stands in for a GPU: torch checks the devices of what meets, and computes nothing."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        part = copy.copy(VALIDATION)
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor) and name != "_windows":
                setattr(part, name, mode.from_tensor(value))
        moved = part.to("cuda:0")
        assert moved._windows.shape == part._windows.shape
        _assert_all_on(moved.batch(torch.arange(4)), "cuda:0")


def test_masked_batches_are_made_on_the_device_of_the_subset():
    """The device `meta` has shapes and no values; the stand-in of above cannot gather rows without a GPU's library."""
    _assert_all_on(RAGGED.to("meta").batch(torch.arange(4)), "meta")


def _assert_all_on(batch, device):
    for name, value in vars(batch).items():
        assert value is None or value.device == torch.device(device), name


def test_a_module_that_returns_a_tensor_is_evaluated_as_a_reconstruction():
    scores = evaluate(nn.Identity(), Reconstruction(), VALIDATION)
    assert scores == {"loss": 0, "reconstruction_mse": 0}


class TestLossesOfTheModel:
    """The trainer adds weight x loss, in one place; a warm-up counts in training only."""

    class Adding(nn.Module):
        loss_weights: ClassVar = {"one": 10.0}

        def __init__(self, warm_up=0):
            super().__init__()
            self.warm_up = warm_up
            self.level = nn.Parameter(torch.tensor(1.0))

        def forward(self, inputs):
            return Output(inputs + 0 * self.level, losses={"one": self.level.detach().clone(), "other": 2 * self.level})

    def row(self, **options):
        model = self.Adding(**options)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-12)
        training = Training(model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0))
        return go(training, Trainer(epochs=5, batch_size=16))

    def test_each_is_added_with_its_weight_or_1_and_recorded_by_name(self):
        (first, *_) = self.row()
        assert first["train.loss"] == first["validation.loss"] == pytest.approx(10 * 1 + 2)
        for part in ("train", "validation"):
            assert first[f"{part}.one"] == pytest.approx(1)
            assert first[f"{part}.other"] == pytest.approx(2)
            assert first[f"{part}.reconstruction_mse"] == 0

    def test_a_warm_up_grows_the_weights_that_are_named_epoch_by_epoch_in_training_only(self):
        rows = self.row(warm_up=4)
        assert [row["train.loss"] - 2 for row in rows] == pytest.approx([2.5, 5, 7.5, 10, 10], abs=1e-5)
        assert [row["validation.loss"] for row in rows] == pytest.approx([12] * 5)

    def test_the_variational_autoencoder_learns_under_its_divergence(self):
        torch.manual_seed(0)
        model = VariationalAutoencoder(features=1, hidden_size=3, latent_size=2, kl_weight=0.5)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        training = Training(model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0))
        rows = go(training, Trainer(epochs=8, batch_size=16))
        assert rows[-1]["validation.kl"] < rows[0]["validation.kl"]
        for row in rows:
            expected = row["validation.reconstruction_mse"] + 0.5 * row["validation.kl"]
            assert row["validation.loss"] == pytest.approx(expected, rel=1e-6)


class TestPooling:
    class Largest(Reconstruction):
        """Its metric is a function of all sequences together."""

        metrics = (Metric("largest", "scaled value", pool=lambda errors, counts: (errors / counts).max()),)

        def score(self, batch, output):
            terms = super().score(batch, output).terms
            errors = (output.reconstruction - batch.inputs).square().detach().flatten(1).sum(dim=1)
            return Score(terms, {"largest": (errors, torch.full_like(errors, batch.inputs[0].numel()))})

    def test_a_metric_of_all_sequences_together_sees_them_all(self, monkeypatch):
        monkeypatch.setattr("lstm_ae.pooling.EVALUATION_BATCH", 8)
        model = Autoencoder(features=1, hidden_size=2).eval()
        batch = VALIDATION.batch(torch.arange(20))
        with torch.no_grad():
            errors = (model(batch.inputs).reconstruction - batch.inputs).square().flatten(1).mean(dim=1)
        scores = evaluate(model, self.Largest(), VALIDATION)
        assert scores["largest"] == pytest.approx(float(errors.max()), rel=1e-6)
        assert scores["loss"] == pytest.approx(float(errors.mean()), rel=1e-6)
        rows = go(start(), Trainer(epochs=1, batch_size=16), task=self.Largest(), objective="largest")
        assert rows[0]["validation.largest"] > rows[0]["validation.loss"]

    def test_a_weight_of_zero_says_nothing_and_only_zeros_say_nothing_at_all(self):
        pool = Pool(Reconstruction())
        for mean, weight in ((7.0, 0), (2.0, 1), (4.0, torch.tensor(3))):
            term = torch.tensor(mean), weight
            metrics = {"reconstruction_mse": term, "direction": (torch.tensor(mean), 0)}
            pool.add(Score({"reconstruction": term}, metrics), Output(), 1)
        means = pool.means({})
        assert means["loss"] == means["reconstruction_mse"] == 3.5
        assert math.isnan(means["direction"])

    def test_a_model_that_lacks_a_term_is_refused_and_a_baseline_is_not(self):
        with pytest.raises(ValueError, match="must return what the term `reconstruction` of the task's loss needs"):
            Pool(Reconstruction()).checked(Score({}))
        pool = Pool(Reconstruction())
        pool.add(Score({}), Output(), 3)
        assert math.isnan(pool.means({})["loss"])


def test_the_task_prepares_what_is_learnt_and_what_is_judged():
    seen = []

    class Watched(Reconstruction):
        def prepare(self, batch, training):
            seen.append((training, len(batch)))
            return dataclasses.replace(batch, target=torch.zeros_like(batch.inputs))

    rows = go(start(), Trainer(epochs=1, batch_size=16), task=Watched())
    assert seen == [(True, 16), (True, 16), (True, 8), (False, 20)]
    assert rows[0]["validation.loss"] != go(start(), Trainer(epochs=1, batch_size=16))[0]["validation.loss"]


class TestCallbacks:
    def test_each_is_called_with_each_epochs_row(self):
        seen, training = ([], []), start()
        rows = go(training, Trainer(epochs=3, batch_size=16), callbacks=[seen[0].append, seen[1].append])
        assert seen[0] == seen[1] == rows == training.history

    @pytest.mark.parametrize("state", ["pruned", "finished"])
    def test_one_ends_training_after_the_present_epoch(self, state):
        def stop(row):
            if row["epoch"] == 2:
                raise StopTraining("enough", state=state)

        training = start()
        rows = go(training, Trainer(epochs=9, batch_size=16), callbacks=[stop])
        assert [row["epoch"] for row in rows] == [1, 2]
        assert (str(training.stopped), training.stopped.state) == ("enough", state)
        assert training.best_epoch > 0

    def test_other_errors_pass(self):
        def broken(row):
            raise RuntimeError("of the user's own")

        with pytest.raises(RuntimeError, match="of the user's own"):
            go(start(), Trainer(epochs=9, batch_size=16), callbacks=[broken])

    def test_a_state_that_is_none_is_named(self):
        with pytest.raises(ValueError, match="`state` must be one of pruned, finished, got 'tired'"):
            StopTraining("enough", state="tired")


def test_seeds_of_epochs_differ_between_runs_and_epochs():
    assert len({epoch_seed(seed, epoch) for seed in range(30) for epoch in range(30)}) == 900


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": -1}, "`epochs` must be at least 1, got -1"),
        ({"epochs": 1, "batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        ({"epochs": 1, "gradient_clipping": 0}, "`gradient_clipping` must be a finite number above 0, got 0. Use gra"),
        ({"epochs": 1, "patience": 0}, "`patience` must be at least 1, got 0. Use patience=null"),
        ({"epochs": 1, "curriculum": [[4]]}, r"`curriculum` must hold 2 values each, got \[\[4\]\]. Use pairs"),
        ({"epochs": 1, "threads": 0}, "`threads` must be at least 1, got 0"),
        ({"epochs": 1, "checkpoint_every": 0}, "`checkpoint_every` must be at least 1, got 0"),
        (
            {"epochs": 1, "device": "abacus"},
            "`device` must be usable on this machine, got 'abacus': .* Use device=auto",
        ),
    ],
)
def test_bad_values_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Trainer(**options)


def test_an_objective_that_is_no_metric_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="`objective` must be one of loss, reconstruction_mse, got 'accuracy'"):
        go(start(), Trainer(epochs=1), objective="accuracy")


def test_the_automatic_device_exists():
    assert torch.empty(1, device=choose_device("auto")).numel() == 1
    assert isinstance(nn.Linear(1, 1).to(choose_device("auto")), nn.Module)
