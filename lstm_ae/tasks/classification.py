"""Reconstruct, and name the class."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from lstm_ae import drawing, statistics
from lstm_ae.baselines import LogisticRegression, MostFrequentClass
from lstm_ae.tasks import measures
from lstm_ae.types import (
    Baselines,
    Batch,
    Evaluated,
    Figures,
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


class Classification(Task):
    """Reconstruct, and name the class: d * reconstruction + (1 - d) * cross-entropy.

    Args:
        reconstruction_dominance: d, in [0, 1].
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
    )
    primary_metric = "accuracy"
    accepts = frozenset({"classes"})
    baselines: Baselines = {"logistic_regression": LogisticRegression, "most_frequent_class": MostFrequentClass}
    figures: Figures = {"reconstruction": drawing.reconstruction, "confusion": draw_confusion}

    def __init__(self, reconstruction_dominance: float = 0.5, baselines: Baselines | None = None) -> None:
        measures.check_dominance(reconstruction_dominance)
        self.factors = {"reconstruction": reconstruction_dominance, "classification": 1 - reconstruction_dominance}
        if baselines is not None:
            self.baselines = baselines

    def check(self, data: Sequences, subsets: Mapping[str, Subset]) -> None:
        """Refuses a dataset without classes."""
        if data.labels is None:
            raise ValueError(
                "The task needs classes, and the dataset has none. "
                "Use dataset=mnist_rows or dataset=digits, or task=reconstruction."
            )

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the terms and the metrics of one batch."""
        scores, labels = present(output.prediction, "class scores"), present(batch.labels, "labels")
        correct = (scores.argmax(dim=1) == labels).float()
        terms = measures.reconstruction(output, batch.targets, batch.target_observed) | {
            "classification": (F.cross_entropy(scores, labels), len(labels))
        }
        names = {"reconstruction": "reconstruction_mse", "classification": "classification_loss"}
        metrics = {names[name]: measures.detached(term) for name, term in terms.items()}
        return Score(terms, metrics | {"accuracy": (correct.mean(), len(labels))})

    def errors(self, batch: Batch, output: Output) -> Tensor:
        """Returns the cross-entropy of each sequence."""
        scores = present(output.prediction, "class scores")
        return F.cross_entropy(scores, present(batch.labels, "labels"), reduction="none")

    def report(self, evaluated: Evaluated) -> Report:
        """Returns the accuracy's interval, the confusion matrix and the accuracy of each class."""
        judged = evaluated[evaluated.judged]
        classes = judged.subset.data.classes
        confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
        for batch, outputs in judged.batches():
            predicted = present(outputs["model"].prediction, "class scores").argmax(dim=1)
            pairs = (present(batch.labels, "labels"), predicted)
            confusion.index_put_(pairs, torch.ones_like(predicted), accumulate=True)
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
