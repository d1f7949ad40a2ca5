"""Reconstruct, and name the class."""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from lstm_ae import checks, drawing, statistics
from lstm_ae.baselines import LogisticRegression, MostFrequentClass
from lstm_ae.checks import Degrees, Dominance, Dropped, NotNegative
from lstm_ae.tasks import measures
from lstm_ae.types import (
    Baselines,
    Batch,
    Evaluated,
    Figures,
    Measured,
    Metric,
    Output,
    Report,
    Score,
    Sequences,
    Subset,
    Task,
    present,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_confusion(run_dir: drawing.Readable) -> "Figure":
    """Draws the confusion matrix of a run."""
    run = drawing.read(run_dir)
    table = run_dir.read_table("confusion")
    classes = table["class"]
    counts = [[int(table[name][row]) for name in classes] for row in range(len(classes))]  # a row a true class
    title = f"{run.judged.capitalize()} sequences by class, accuracy {run.metrics[run.judged]['accuracy']:.4f}"
    return drawing.matrix(counts, classes, f"{title}\n{run.subtitle}", across="predicted class", down="true class")


def confused(
    labels: Int[Tensor, " sequences"], predicted: Int[Tensor, " sequences"], classes: int | None = None
) -> Int[Tensor, "classes classes"]:
    """Returns how many sequences of each class (a row) were given each class (a column)."""
    count = classes or 1 + max(int(labels.max()), int(predicted.max()))
    return torch.bincount(labels * count + predicted, minlength=count**2).view(count, count)


def balanced_accuracy(labels: Int[Tensor, " sequences"], predicted: Int[Tensor, " sequences"]) -> float:
    """Returns the mean share of each class that was recognised, over the classes there are.

    Source: as `sklearn.metrics.balanced_accuracy_score`.
    """
    counts = confused(labels, predicted).double()
    there = counts.sum(dim=1)
    return (counts.diagonal() / there)[there > 0].mean().item()


def macro_f1(labels: Int[Tensor, " sequences"], predicted: Int[Tensor, " sequences"]) -> float:
    """Returns the mean over the classes, there or predicted, of the harmonic mean of precision and recall.

    Source: as `sklearn.metrics.f1_score(average="macro", zero_division=0)`.
    """
    counts = confused(labels, predicted).double()
    size = counts.sum(dim=0) + counts.sum(dim=1)
    return (2 * counts.diagonal() / size)[size > 0].mean().item()


def moved(
    images: Float[Tensor, "batch rows columns"], shift: float, rotation: float, zoom: float
) -> Float[Tensor, "batch rows columns"]:
    """Returns each image turned, stretched and moved at random, drawn anew for each; its border is repeated.

    Args:
        images: The images.
        shift: Rows and columns by which they are moved at most.
        rotation: Degrees by which they are turned at most.
        zoom: Share of their height and of their width by which these grow or shrink at most.
    """
    batch, rows, columns = images.shape

    def drawn(most: float) -> Float[Tensor, " batch"]:
        return most * (2 * torch.rand(batch, device=images.device) - 1)

    angle, wide, high = drawn(math.radians(rotation)), 1 + drawn(zoom), 1 + drawn(zoom)
    across = (wide * angle.cos(), -high * angle.sin() * rows / columns, drawn(2 * shift / columns))
    down = (wide * angle.sin() * columns / rows, high * angle.cos(), drawn(2 * shift / rows))
    source = torch.stack([torch.stack(across, dim=1), torch.stack(down, dim=1)], dim=1)  # of each output pixel
    grid = F.affine_grid(source, [batch, 1, rows, columns], align_corners=False)
    return F.grid_sample(images.unsqueeze(1), grid, padding_mode="border", align_corners=False).squeeze(1)


class Classification(Task):
    """Reconstruct, and name the class: d * reconstruction + (1 - d) * cross-entropy.

    Args:
        reconstruction_dominance: d, in [0, 1].
        class_weights: `balanced`: in the loss, each training sequence weighs in inverse proportion to the size of its
            class (as scikit-learn's `class_weight="balanced"`), so that rare classes count as much as frequent ones;
            None: all weigh 1. Metrics and `errors` are not weighted.
        shift: Rows and columns by which an image, a row a time step, is moved at most while training, at random.
        rotation: Degrees by which it is turned at most.
        zoom: Share of its height and of its width by which these grow or shrink at most.
        baselines: What a model must beat, by name; None: logistic regression, and the most frequent class.

    Example:
        >>> batch = Batch(torch.zeros(2, 5, 1), labels=torch.tensor([0, 1]))
        >>> output = Output(torch.zeros(2, 5, 1), prediction=torch.tensor([[9.0, 0.0], [9.0, 0.0]]))
        >>> Classification(reconstruction_dominance=0.5).score(batch, output).metrics["accuracy"]
        (tensor(0.5000), 2)
    """

    metrics = (
        measures.RECONSTRUCTION_MSE,
        Metric("classification_loss", "nats"),
        Metric("accuracy", "share of the sequences", higher_is_better=True, proportion=True),
        Metric("balanced_accuracy", "mean share of each class", higher_is_better=True, pool=balanced_accuracy),
        Metric("macro_f1", "mean F1 of the classes", higher_is_better=True, pool=macro_f1),
    )
    primary_metric = "accuracy"
    accepts = frozenset({"classes"})
    baselines: Baselines = {"logistic_regression": LogisticRegression, "most_frequent_class": MostFrequentClass}
    figures: Figures = {"reconstruction": drawing.reconstruction, "confusion": draw_confusion}

    @checks.checked
    def __init__(
        self,
        reconstruction_dominance: Dominance = 0.5,
        class_weights: Literal["balanced"] | None = None,
        shift: NotNegative = 0.0,
        rotation: Degrees = 0.0,
        zoom: Dropped = 0.0,
        baselines: Baselines | None = None,
    ) -> None:
        self.class_weights = class_weights
        self.moves = {"shift": shift, "rotation": rotation, "zoom": zoom}
        self._weights: Tensor | None = None  # of the classes, once the training subset is known
        self.factors = {"reconstruction": reconstruction_dominance, "classification": 1 - reconstruction_dominance}
        self.baselines = self.baselines if baselines is None else baselines

    def check(self, data: Sequences, subsets: Mapping[str, Subset]) -> None:
        """Refuses a dataset without classes, and classes that are judged and never trained on."""
        if data.labels is None:
            raise ValueError(
                "The task needs classes, and the dataset has none. Use dataset.label=COLUMN of your own table, "
                "dataset=mnist_rows or dataset=digits, or task=reconstruction."
            )
        used = [name for name, most in self.moves.items() if most]
        if used and data.image_shape != (data.length, data.features):
            raise ValueError(
                f"`{used[0]}` needs images of a row a time step, got {self.moves[used[0]]} for sequences of "
                f"{data.length} steps with {data.features} values. Use task.{used[0]}=0 or dataset=mnist_rows."
            )
        if self.moves["shift"] >= min(data.length, data.features):
            raise ValueError(
                f"`shift` must be less than the image's {data.length} x {data.features} pixels, "
                f"got {self.moves['shift']}. Use a smaller one, such as task.shift=1."
            )
        counts = {name: np.bincount(data.labels[torch.from_numpy(subset.index)].numpy(), minlength=len(data.classes))
                  for name, subset in subsets.items()}  # fmt: skip
        for name, count in counts.items():
            unseen = np.flatnonzero((count > 0) & (counts["train"] == 0))
            if len(unseen):
                raise ValueError(
                    f"`label` must show every class in training, and {data.classes[unseen[0]]!r} stands only in the "
                    f"{name} subset ({count[unseen[0]]} sequences). Use split=stratified, or leave this class out."
                )
        if self.class_weights is not None:
            train = torch.from_numpy(counts["train"])
            self._weights = (len(subsets["train"]) / (train > 0).sum() / train.clamp(min=1)).float()

    def prepare(self, batch: Batch, training: bool) -> Batch:
        """Returns the batch, its images moved while training."""
        if not (training and any(self.moves.values())):
            return batch
        return dataclasses.replace(batch, inputs=moved(batch.inputs, **self.moves))

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the terms and the metrics of one batch."""
        scores, labels = present(output.prediction, "class scores"), present(batch.labels, "labels")
        correct = (scores.argmax(dim=1) == labels).float()
        reconstructed = measures.reconstruction(output, batch.targets, batch.target_observed)
        metrics: dict[str, Measured] = {f"{name}_mse": measures.detached(term) for name, term in reconstructed.items()}
        unweighted = F.cross_entropy(scores, labels)
        predicted = scores.argmax(dim=1)
        metrics |= {
            "classification_loss": (unweighted.detach(), len(labels)),
            "accuracy": (correct.mean(), len(labels)),
        }
        metrics |= dict.fromkeys(("balanced_accuracy", "macro_f1"), (labels, predicted))
        term: measures.Mean = (unweighted, len(labels))
        if self._weights is not None:
            weights = self._weights.to(scores.device)
            term = (F.cross_entropy(scores, labels, weight=weights), weights[labels].sum())
        return Score({**reconstructed, "classification": term}, metrics)

    def errors(self, batch: Batch, output: Output) -> Tensor:
        """Returns the cross-entropy of each sequence."""
        scores = present(output.prediction, "class scores")
        return F.cross_entropy(scores, present(batch.labels, "labels"), reduction="none")

    def report(self, evaluated: Evaluated) -> Report:
        """Returns the accuracy's interval, the confusion matrix and the accuracy of each class."""
        judged = evaluated[evaluated.judged]
        classes = judged.subset.data.classes
        pairs = [(present(batch.labels, "labels"), present(outputs["model"].prediction, "class scores"))
                 for batch, outputs in judged.batches()]  # fmt: skip
        every = [confused(labels, scores.argmax(dim=1), len(classes)) for labels, scores in pairs]
        confusion = torch.stack(every).sum(dim=0)
        right, count = confusion.diagonal().tolist(), confusion.sum(dim=1).tolist()
        found = [statistics.proportion_interval(k, n) for k, n in zip(right, count, strict=True)]
        by_class = {
            "class": classes,
            "sequences": count,
            "accuracy": [k / max(n, 1) for k, n in zip(right, count, strict=True)],
            "low": [one.low for one in found],
            "high": [one.high for one in found],
        }
        matrix = dict(zip(classes, confusion.T.tolist(), strict=True))
        return Report(
            intervals={"accuracy": measures.ends(statistics.proportion_interval(sum(right), sum(count)))},
            tables={"confusion": {"class": classes, **matrix}, "classes": by_class},
        )
