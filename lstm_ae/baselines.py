"""Baselines: what a model must beat. Each is fitted on the prepared training subset and sees what the model sees.

Constructors name what they need to know: `latent` (the shape of what the model hands its decoder for one sequence),
`time` (input steps), `features`, `classes`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lstm_ae import checks
from lstm_ae.checks import Count
from lstm_ae.types import Batch, Output, PreparedSubset, present

Examples = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # rows, their targets, which targets count (None: all)


def everything(subset: PreparedSubset) -> Batch:
    """Returns a whole subset as one batch."""
    return subset.batch(torch.arange(len(subset)))


class Pca:
    """The best linear autoencoder with the model's own budget, laid out as the model's latent is.

    A latent of one vector for the whole sequence: principal components of whole sequences. A latent at every step:
    principal components of single steps. Values that are missing are taken for the training mean.

    Args:
        latent: (numbers,), or (time, numbers a step).
    """

    def __init__(self, latent: tuple[int, ...]) -> None:
        self.components = latent[-1]
        self.per_step = len(latent) > 1

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Finds the components."""
        from sklearn.decomposition import PCA

        batch = everything(train)
        self._mean = _observed_mean(batch)
        rows = self._rows(batch)
        if self.per_step and batch.lengths is not None:
            rows = rows[present(batch.there, "lengths").any(dim=2).flatten().numpy()]
        self._pca = PCA(min(self.components, *rows.shape), svd_solver="covariance_eigh").fit(rows)

    def __call__(self, batch: Batch) -> Output:
        """Returns each sequence, or step, projected onto the components and back."""
        rows = self._rows(batch)
        projected = self._pca.inverse_transform(self._pca.transform(rows))
        return Output(reconstruction=torch.from_numpy(projected).float().view_as(batch.inputs))

    def _rows(self, batch: Batch) -> np.ndarray:
        values = _filled(batch, self._mean).flatten(0 if self.per_step else 1, 1 if self.per_step else 2)
        return values.double().numpy()


class LinearRegression:
    """Ridge regression from the inputs of a sequence to its target, both laid out as one row of values.

    Source of the penalty: the best of a few on the validation subset.

    Args:
        predicts: Whether its answer is a prediction, of steps that come, and not a reconstruction.
    """

    penalties = (1e-3, 1e-1, 1e1, 1e3)

    def __init__(self, predicts: bool = False) -> None:
        self.predicts = predicts

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Fits one model for each penalty and keeps the best."""
        batch, judge = everything(train), everything(validation)
        self._mean = _observed_mean(batch)
        examples = [(self._rows(one), one.targets.flatten(1).numpy(), _counted(one)) for one in (batch, judge)]
        self._model = _best_ridge(self.penalties, *examples)

    def __call__(self, batch: Batch) -> Output:
        """Returns the target as the inputs give it."""
        answer = torch.from_numpy(self._model.predict(self._rows(batch))).float().view_as(batch.targets)
        return Output(prediction=answer) if self.predicts else Output(reconstruction=answer)

    def _rows(self, batch: Batch) -> np.ndarray:
        return _filled(batch, self._mean).flatten(1).numpy()


class LogisticRegression:
    """scikit-learn's logistic regression on the same inputs, laid out as one row of values.

    Args:
        classes: How many.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Fits the classes' weights."""
        from sklearn.linear_model import LogisticRegression as Model

        batch = everything(train)
        # On 20,000 images of MNIST the accuracy is 0.881 at tol=0.01, 0.915 at 0.001 and 0.911 at 0.0003.
        self._model = Model(max_iter=1000, tol=0.001)
        self._model.fit(batch.inputs.flatten(1).numpy(), present(batch.labels, "labels").numpy())

    def __call__(self, batch: Batch) -> Output:
        """Returns the logarithm of each class's probability."""
        probabilities = torch.from_numpy(self._model.predict_proba(batch.inputs.flatten(1).numpy())).float()
        scores = torch.full((len(batch), self.classes), -torch.inf)
        scores[:, torch.from_numpy(self._model.classes_)] = probabilities.clamp(min=1e-12).log()
        return Output(prediction=scores)


class MostFrequentClass:
    """Predicts the class that training shows most often, with the classes' shares as probabilities.

    Args:
        classes: How many.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Counts the classes."""
        counts = torch.bincount(present(everything(train).labels, "labels"), minlength=self.classes)
        self._scores = (counts / counts.sum()).log()

    def __call__(self, batch: Batch) -> Output:
        """Returns the same scores for every sequence."""
        return Output(prediction=self._scores.expand(len(batch), -1))


class Persistence:
    """Predicts that the next step equals the present one: tomorrow = today."""

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Learns nothing."""

    def __call__(self, batch: Batch) -> Output:
        """Returns the inputs as predictions."""
        return Output(prediction=batch.inputs)


class Drift:
    """Predicts the present step plus the mean step of training (Hyndman and Athanasopoulos 2021, section 5.2)."""

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Takes the mean step of training."""
        steps, counted = _changes(everything(train))
        if counted is None:
            self._step = steps.mean(dim=(0, 1))  # (features,)
        else:
            self._step = (steps * counted).sum(dim=(0, 1)) / counted.sum(dim=(0, 1)).clamp(min=1)

    def __call__(self, batch: Batch) -> Output:
        """Returns every step plus the mean step."""
        return Output(prediction=batch.inputs + self._step)


class PrevailingDirection:
    """Predicts the direction that most steps of training took: for prices, up.

    Not literally up, so that it is as hard to beat where values mostly fall. The step that it adds is the median of the
    steps of training that moved, whose sign is that direction.
    """

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Takes the median step of each feature."""
        steps, counted = _changes(everything(train))
        moved = (steps != 0) if counted is None else (steps != 0) & counted
        medians = [np.median(steps[..., one][moved[..., one]].numpy() if moved[..., one].any() else [0.0])
            for one in range(steps.shape[2])]  # fmt: skip
        self._step = torch.tensor(np.array(medians), dtype=steps.dtype)  # (features,)

    def __call__(self, batch: Batch) -> Output:
        """Returns every step plus the median step."""
        return Output(prediction=batch.inputs + self._step)


class Autoregression:
    """Ridge regression of the next change on the last changes of all features, the same at every step.

    A change from before the first step, or next to a missing value, is taken for 0. Source of the penalty: the best of
    a few on the validation subset.

    Args:
        lags: How many changes are read.
    """

    penalties = LinearRegression.penalties
    most_examples = 500_000  # steps of windows; more change nothing in a few coefficients

    @checks.checked
    def __init__(self, lags: Count = 5) -> None:
        self.lags = lags

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Fits one model for each penalty and keeps the best."""
        steps = train.batch(torch.arange(1)).inputs.shape[1]
        self._lags = min(self.lags, max(1, steps - 1))  # longer ones would be zeros
        self._model = _best_ridge(self.penalties, self._examples(train), self._examples(validation))

    def __call__(self, batch: Batch) -> Output:
        """Returns every step plus the change that the regression expects."""
        changes = self._model.predict(self._rows(batch)).reshape(batch.inputs.shape)
        return Output(prediction=batch.inputs + torch.from_numpy(changes).to(batch.inputs.dtype))

    def _examples(self, subset: PreparedSubset) -> Examples:
        count = max(1, self.most_examples // subset.batch(torch.arange(1)).inputs.shape[1])
        batch = subset.batch(torch.linspace(0, len(subset) - 1, min(count, len(subset))).long())
        changes, counted = _changes(batch)
        flat = None if counted is None else counted.flatten(0, 1).numpy()
        return self._rows(batch), changes.flatten(0, 1).numpy(), flat

    def _rows(self, batch: Batch) -> np.ndarray:
        """Returns the last changes before each step, (batch x time, features x lags)."""
        changes, there = batch.inputs.diff(dim=1), batch.there
        if there is not None:
            changes = changes * (there[:, 1:] & there[:, :-1])
        padded = torch.cat([changes.new_zeros(len(changes), self._lags, changes.shape[2]), changes], dim=1)
        return padded.unfold(1, self._lags, 1).flatten(2).flatten(0, 1).numpy()


class LastValue:
    """Predicts that every step of the horizon equals the last one that was observed: persistence."""

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Learns nothing."""

    def __call__(self, batch: Batch) -> Output:
        """Returns the last values at every step of the target."""
        last, _ = _end(batch)
        return Output(prediction=last.unsqueeze(1).expand_as(batch.targets))


class DriftForecast:
    """Continues the line from a sequence's first observed value to its last.

    Source: Hyndman and Athanasopoulos 2021, section 5.2, https://otexts.com/fpp3/simple-methods.html
    """

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Learns nothing."""

    def __call__(self, batch: Batch) -> Output:
        """Returns the line at every step of the target."""
        (first, begin), (last, end) = _end(batch, first=True), _end(batch)
        slope = (last - first) / (end - begin).clamp(min=1)  # (batch, features)
        ahead = torch.arange(1, batch.targets.shape[1] + 1).view(1, -1, 1)
        return Output(prediction=last.unsqueeze(1) + ahead * slope.unsqueeze(1))


class SeasonalNaive:
    """Predicts the value of one period before: yesterday's at the same hour.

    Args:
        period: Steps after which values repeat; of a sequence that is shorter, its length.
    """

    @checks.checked
    def __init__(self, period: Count) -> None:
        self.period = period

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Learns nothing."""

    def __call__(self, batch: Batch) -> Output:
        """Returns the last period, repeated over the target; where it was not observed, the last value."""
        lengths = torch.full((len(batch),), batch.inputs.shape[1]) if batch.lengths is None else batch.lengths
        period = lengths.clamp(max=self.period).unsqueeze(1)
        place = lengths.unsqueeze(1) - period + torch.arange(batch.targets.shape[1]) % period  # (batch, target time)
        place = place.unsqueeze(2).expand_as(batch.targets)
        values = batch.inputs.gather(1, place)
        if batch.observed is not None:
            values = torch.where(batch.observed.gather(1, place), values, _end(batch)[0].unsqueeze(1))
        return Output(prediction=values)


class Identity:
    """Returns the inputs as they are: of a noisy input, what is gained by doing nothing."""

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Learns nothing."""

    def __call__(self, batch: Batch) -> Output:
        """Returns the inputs as the reconstruction."""
        return Output(reconstruction=batch.inputs)


class TrainingMean:
    """Fills in the training mean of each step and feature."""

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Takes the means of what is observed."""
        self._mean = _observed_mean(everything(train))

    def __call__(self, batch: Batch) -> Output:
        """Returns the inputs with the means in place of what is missing."""
        return Output(reconstruction=_filled(batch, self._mean))


class Interpolation:
    """Fills in between the observed steps before and after, on a straight line; at the ends the nearest one."""

    def fit(self, train: PreparedSubset, validation: PreparedSubset, seed: int) -> None:
        """Takes the means of what is observed, for a feature of which a sequence shows nothing."""
        self._mean = _observed_mean(everything(train))

    def __call__(self, batch: Batch) -> Output:
        """Returns the inputs with what is missing filled in."""
        filled = _filled(batch, self._mean)
        if batch.observed is None:
            return Output(reconstruction=filled)
        values, observed = filled.numpy().copy(), batch.observed.numpy()
        time = np.arange(values.shape[1])
        for one, feature in np.ndindex(len(values), values.shape[2]):
            there = observed[one, :, feature]
            if there.any() and not there.all():
                values[one, :, feature] = np.interp(time, time[there], values[one, there, feature])
        return Output(reconstruction=torch.from_numpy(values))


def skill(error: float, baseline_error: float) -> float | None:
    """Returns 1 - error / baseline error: 1 is perfect, 0 is no better than the baseline; None where that has no error.

    Example:
        >>> skill(0.01, 0.04)
        0.75
    """
    return None if baseline_error < 1e-12 else 1 - error / baseline_error


def _end(batch: Batch, first: bool = False) -> tuple[Tensor, Tensor]:
    """Returns each feature's last observed value (its first) and its step, (batch, features); 0 where there is none."""
    time = torch.arange(batch.inputs.shape[1]).view(1, -1, 1)
    there = torch.ones_like(batch.inputs, dtype=torch.bool) if batch.there is None else batch.there
    order = torch.where(there, len(time.flatten()) - time if first else time, -1)
    place = order.argmax(dim=1)  # (batch, features)
    return batch.inputs.gather(1, place.unsqueeze(1)).squeeze(1), place


def _both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return second if first is None else first if second is None else first & second


def _observed_mean(batch: Batch) -> Float[Tensor, "time features"]:
    """Returns the mean of each step and feature over the sequences that have it; 0 where none has."""
    there = batch.there
    if there is None:
        return batch.inputs.mean(dim=0)
    return batch.inputs.sum(dim=0) / there.sum(dim=0).clamp(min=1)


def _filled(batch: Batch, mean: Float[Tensor, "time features"]) -> Float[Tensor, "batch time features"]:
    """Returns the inputs with means in place of what is missing."""
    there = batch.there
    return batch.inputs if there is None else torch.where(there, batch.inputs, mean)


def _changes(batch: Batch) -> tuple[Float[Tensor, "batch time features"], Tensor | None]:
    """Returns the steps from inputs to targets, and which are between values that are there; None: all."""
    return present(batch.target, "targets") - batch.inputs, _both(batch.there, batch.target_observed)


def _best_ridge(penalties: Sequence[float], train: Examples, judge: Examples) -> Any:
    """Returns the ridge regression with the penalty that does best on other examples.

    It is fitted in double precision: the steps of a slow signal are too much alike for single precision.
    """
    from sklearn.linear_model import Ridge

    rows, targets, counted = train
    kind, rows = rows.dtype, rows.astype(np.float64)
    if counted is not None and not counted.all():
        targets = _completed(Ridge(penalties[:2][-1]), rows, targets, counted)
    fitted = [Ridge(alpha).fit(rows, targets) for alpha in penalties]
    for model in fitted:
        model.coef_, model.intercept_ = model.coef_.astype(kind), np.asarray(model.intercept_, dtype=kind)
    rows, targets, counted = judge
    counts = 1.0 if counted is None else counted
    errors = [np.square((model.predict(rows).reshape(targets.shape) - targets) * counts).sum() for model in fitted]
    return fitted[int(np.argmin(errors))]


def _counted(batch: Batch) -> np.ndarray | None:
    return None if batch.target_observed is None else batch.target_observed.flatten(1).numpy()


def _completed(model: Any, rows: np.ndarray, targets: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Returns the targets with a regression's own answers where they do not count: there they teach nothing."""
    completed = targets.copy()
    for column in range(targets.shape[1]):
        known = counted[:, column]
        if known.any() and not known.all():
            completed[~known, column] = model.fit(rows[known], targets[known, column]).predict(rows[~known])
    return completed
