"""Baselines: what each task must beat. Each is fitted on the training part and then called as a model is."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lstm_ae.types import Batch, Output, Subset, present

Baseline = Callable[[Tensor], Output]


class Pca:
    """Principal components: the best linear code of its size, for sequences laid out as one row of values.

    Where the code is as long as the sequence, nothing is lost.

    Args:
        inputs: The training part.
        components: The size of the code.
    """

    def __init__(self, inputs: Float[Tensor, "sequences time features"], components: int) -> None:
        from sklearn.decomposition import PCA

        rows = inputs.flatten(1).double().numpy()  # (sequences, time * features)
        self._pca = PCA(min(components, *rows.shape), svd_solver="covariance_eigh").fit(rows)

    def __call__(self, inputs: Float[Tensor, "batch time features"]) -> Output:
        """Returns each sequence projected onto the components and back."""
        rows = inputs.flatten(1).double().numpy()
        projected = self._pca.inverse_transform(self._pca.transform(rows))
        return Output(reconstruction=torch.from_numpy(projected).float().view_as(inputs))


class LogisticRegression:
    """scikit-learn's logistic regression on the same inputs, laid out as one row of values.

    Args:
        train: The training part.
        classes: How many.
    """

    def __init__(self, train: Batch, classes: int) -> None:
        from sklearn.linear_model import LogisticRegression

        self._classes = classes
        # On 20,000 images of MNIST the accuracy is 0.881 at tol=0.01, 0.915 at 0.001 and 0.911 at 0.0003.
        self._model = LogisticRegression(max_iter=1000, tol=0.001)
        self._model.fit(train.inputs.flatten(1).numpy(), present(train.labels, "labels").numpy())

    def __call__(self, inputs: Float[Tensor, "batch time features"]) -> Output:
        """Returns the logarithm of each class's probability."""
        probabilities = torch.from_numpy(self._model.predict_proba(inputs.flatten(1).numpy())).float()
        scores = torch.full((len(inputs), self._classes), -torch.inf)
        scores[:, torch.from_numpy(self._model.classes_)] = probabilities.clamp(min=1e-12).log()
        return Output(prediction=scores)


class MostFrequentClass:
    """Names the class that training shows most often, with the classes' shares as probabilities.

    Args:
        train: The training part.
        classes: How many.
    """

    def __init__(self, train: Batch, classes: int) -> None:
        counts = torch.bincount(present(train.labels, "labels"), minlength=classes)
        self._scores = (counts / counts.sum()).log()

    def __call__(self, inputs: Float[Tensor, "batch time features"]) -> Output:
        """Returns the same scores for every sequence."""
        return Output(prediction=self._scores.expand(len(inputs), -1))


def persistence(inputs: Float[Tensor, "batch time features"]) -> Output:
    """Predicts that the next step equals the present one: tomorrow = today."""
    return Output(prediction=inputs)


class Drift:
    """Predicts the present step plus the mean step of the training part (Hyndman and Athanasopoulos 2021, section 5.2).

    Args:
        train: The training part.
    """

    def __init__(self, train: Batch) -> None:
        self._step = (present(train.target, "targets") - train.inputs).mean(dim=(0, 1))  # (features,)

    def __call__(self, inputs: Float[Tensor, "batch time features"]) -> Output:
        """Returns every step plus the mean step."""
        return Output(prediction=inputs + self._step)


def fit_baselines(task: str, train: Subset, latent_size: int, classes: int) -> dict[str, Baseline]:
    """Returns the baselines of a task by name, fitted on the training part.

    Args:
        task: The task's name.
        train: The training part.
        latent_size: The number of values in the model's code.
        classes: How many the dataset has.
    """
    everything = train.batch(torch.arange(len(train)))
    if task == "classification":
        return {
            "logistic_regression": LogisticRegression(everything, classes),
            "most_frequent_class": MostFrequentClass(everything, classes),
        }
    if task == "prediction":
        return {"persistence": persistence, "drift": Drift(everything)}
    return {"pca": Pca(everything.inputs, latent_size)}


def skill(error: float, baseline_error: float) -> float | None:
    """Returns 1 - error / baseline error: 1 is perfect, 0 is no better than the baseline; None where that has no error.

    Example:
        >>> skill(0.01, 0.04)
        0.75
    """
    return None if baseline_error < 1e-12 else 1 - error / baseline_error
