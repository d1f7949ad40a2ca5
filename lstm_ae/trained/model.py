"""A trained model: encode, reconstruct, predict, forecast and score sequences of one's own, in their own units."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lstm_ae.anomaly.explain import nearest
from lstm_ae.data.rescaling import Scaled
from lstm_ae.data.unseen import Schema, Sequences
from lstm_ae.models import kernel
from lstm_ae.tasks import detection
from lstm_ae.tasks.ahead import roll_out
from lstm_ae.tasks.overlapping import offset, over_usual, spread
from lstm_ae.trained.scoring import Scores, Stream, grid, rounded, summed
from lstm_ae.types import Batch, Output, Task, answering, present


class Trained:
    """The model of a finished run, with its task and scaler, see `lstm_ae.load_run`.

    `x` is everywhere an array (sequences, time, features), a list of arrays (time, features) of any lengths, or a
    DataFrame in the training layout, whose rows become sequences as in training: whole series, or windows of them.
    Results are arrays where all sequences are equally long by construction, else lists, in the data's own units.

    Attributes:
        path: The run's directory.
        model: In evaluation mode.
        task: The question that it was trained on.
        schema: What it knows of its data: names of features and classes, unit, window, columns of the table.
        fitted: What the task fitted at the end, by name.
    """

    def __init__(
        self,
        path: Path,
        model: nn.Module,
        task: Task,
        schema: Schema,
        device: str,
        typical_error: float,
        fitted: Mapping[str, np.ndarray],
    ) -> None:
        self.path, self.model, self.task, self.schema, self.fitted = path, model, task, schema, fitted
        usual = fitted.get("error_scale")  # of each feature: scores are then errors over it
        self._usual = None if usual is None else torch.from_numpy(usual).float()
        self._device, self._step = device, grid(typical_error if usual is None else 1.0)
        self._answer = answering(model)
        self._takes_lengths = "lengths" in inspect.signature(model.forward).parameters
        kernel.fix(model, usable=device == "cpu")

    def __repr__(self) -> str:
        return f"Trained({str(self.path)!r})"

    @property
    def produces(self) -> frozenset[str]:
        """What the model makes beyond a reconstruction: `classes`, `next_step`, `next_sequence`, `horizon`."""
        return frozenset(getattr(self.model, "produces", ()))

    @property
    def reads(self) -> int | None:
        """Steps of the inputs that the model was trained on, where all were windows: its targets are not in them."""
        if self.schema.window is None:
            return None
        empty = torch.zeros(1, self.schema.window, len(self.schema.feature_names))
        zero = torch.zeros(1, dtype=torch.int64)
        return self.task.prepare(Batch(empty, index=zero, starts=zero), training=False).inputs.shape[1]

    def output(self, batch: Batch) -> Output:
        """Returns the model's output of scaled sequences, on its device."""
        return self._answer(batch)

    @torch.no_grad()
    def answer(self, batch: Batch) -> Output:
        """Returns the model's output of scaled sequences, on the CPU."""
        return self.output(batch.to(self._device)).on_cpu()

    def encode(self, x: Any) -> Any:
        """Returns the latents: (sequences, latent), or for a model with one at every step (sequences, time, latent).

        Raises:
            ValueError: `x` does not fit, or the model returns no latent.
        """
        return self._each(x, lambda output, _: present(output.latent, "latents"), stepwise=True)

    def reconstruct(self, x: Any) -> Any:
        """Returns what the model gives back, (sequences, time, features); missing values are filled in.

        Raises:
            ValueError: `x` does not fit, or the model does not reconstruct.
        """
        return self._each(
            x, lambda output, scaled: scaled.unscaled(present(output.reconstruction, "reconstructions")), stepwise=True
        )

    def predict(self, x: Any) -> Any:
        """Returns the class of each sequence by name; or of a predictor the next step at every step, or its horizon.

        Raises:
            ValueError: `x` does not fit, or the model predicts nothing.
        """
        if "classes" in self.produces:
            return np.array(self.schema.classes)[self.predict_proba(x).argmax(axis=1)]
        return self._each(
            x,
            lambda output, scaled: scaled.unscaled(present(output.prediction, "predictions")),
            stepwise="next_sequence" in self.produces,
        )

    def predict_proba(self, x: Any) -> np.ndarray:
        """Returns the probability of each class, (sequences, classes), in the order of `schema.classes`.

        Raises:
            ValueError: `x` does not fit, or the model has no classes.
        """
        if "classes" not in self.produces:
            raise ValueError(
                "`predict_proba` needs a model with classes. Use predict, or train with task=classification."
            )
        scores: np.ndarray = self._each(x, lambda output, _: present(output.prediction, "class scores").softmax(dim=1))
        return scores

    def forecast(self, x: Any, steps: int) -> np.ndarray:
        """Returns the `steps` that follow each sequence, (sequences, steps, features).

        A model of a horizon predicts it at once, and beyond it from its own predictions; a model of the next step goes
        on from each. One that was trained on windows reads as many last steps of a sequence as its inputs had.

        Args:
            x: Of a DataFrame, each series is continued.
            steps: How many.

        Raises:
            ValueError: `x` does not fit, or the model predicts no steps.
        """
        if steps < 1:
            raise ValueError(f"`steps` must be at least 1, got {steps}. Use steps=1.")
        if not self.produces & {"next_step", "next_sequence", "horizon"}:
            made = ", ".join(sorted(self.produces)) or "only a reconstruction"
            raise ValueError(
                f"`forecast` needs a model that predicts steps, and this one produces {made}. "
                "Train with task=forecast model=forecaster."
            )
        found = self.schema.series_of(self.schema.long(x)) if hasattr(x, "columns") else self.schema.read(x)
        found.require(self.reads or 1)
        tails = [values[-(self.reads or len(values)) :] for values in found.values]
        found = Sequences(tails, found.names, found.is_array, found.series)
        return np.stack(self._made(found, False, lambda scaled: scaled.unscaled(self._continued(scaled.batch, steps))))

    def _continued(self, batch: Batch, steps: int) -> Tensor:
        ahead = 1
        if "horizon" in self.produces:
            first = present(self.answer(batch).prediction, "predictions")
            ahead = first.shape[1]
            if steps <= ahead:
                return first[:, :steps]
        return roll_out(self.answer, batch, batch.inputs.shape[1], steps, ahead)

    def score_samples(self, x: Any, y: Sequence[Any] | np.ndarray | None = None) -> Scores:
        """Returns the error of each step, feature and sequence, as the task defines errors.

        Where the run fitted what is usual (task=anomaly), each error is over that of its feature; and of a whole
        sequence over the number of steps, so that its score is the mean of its steps.

        A model that was trained on windows scores each step of a longer sequence by the mean over all windows that
        contain it, at stride 1; of a DataFrame, the sequences are then its whole series.

        Args:
            x: What is scored.
            y: The class of each sequence, where the task needs one; of a DataFrame, its label column serves.

        Raises:
            ValueError: `x` does not fit, or a sequence is shorter than the window.
        """
        schema, is_frame = self.schema, hasattr(x, "columns")
        if is_frame and y is None:
            x = schema.long(x)
            found = schema.labelled(schema.series_of(x), x)
        else:
            found = schema.read(x, y)
        found.require(schema.window or 1)
        single = [place for place, one in enumerate(found.values) if schema.window in (None, len(one))]
        errors = self._errors_of(found, single) if single else {}
        own = dict(errors)
        for place in set(range(len(found))) - set(single):
            stream = self._stream(None if found.series is None else found.series[place], found.names[place])
            known = stream.extend(found.values[place])
            stream.require(len(found.values[place]))
            rest = stream.finish()
            errors[place] = np.concatenate([known.values, rest.values])
            own[place] = np.concatenate([known.own, rest.own])
        ordered = [errors[place] for place in range(len(found))]
        if np.ndim(ordered[0]) == 0:
            return Scores(rounded(np.array(ordered, dtype=np.float64), self._step), names=tuple(found.names))
        sequences, steps, features, values = zip(*(summed(one, self._step) for one in ordered), strict=True)
        shaped: Callable[[Any], Any] = np.stack if found.is_array else list
        of_steps = shaped([own[place] for place in range(len(found))])
        names = tuple(found.names)
        return Scores(np.array(sequences), shaped(steps), np.stack(features), shaped(values), of_steps, names)

    @property
    def alarm_rules(self) -> dict[str, int]:
        """How the alarms of the run are made: `minimum_length`, `merge_within` and `cool_down`."""
        return detection.rules(self.fitted)

    def threshold(self, rate: str | float | None = None) -> float:
        """Returns the score above which a step is in alarm.

        Args:
            rate: False alarms a step, or a time, such as 1/1000 or 1/day, for a threshold of the same calibration data;
                None: the threshold that the run fitted.

        Raises:
            ValueError: the run fitted none, or its calibration data are too short for the rate.
        """
        return detection.threshold(self.fitted, rate)

    def nearest_normal(self, windows: Any) -> np.ndarray:
        """Returns for each window the most similar one of some training windows that the run keeps, for comparison.

        Args:
            windows: (windows, window, features), in their own units.

        Returns:
            (windows, window, features), in their own units.

        Raises:
            ValueError: the run keeps none, or the shapes do not fit.
        """
        kept = self.fitted.get("normal_windows", np.empty(0))
        if not len(kept):
            raise ValueError("The run must keep windows of training, and has none. Train with task=anomaly.")
        return kept[[nearest(kept, one) for one in np.asarray(windows)]]

    def stream(self, series: str | None = None, called: str = "the stream") -> Stream:
        """Returns what scores the rows of one signal as they come in.

        Args:
            series: The signal's series, where each has a scaler of its own.
            called: Its name in messages.

        Raises:
            ValueError: the model was not trained on windows, or missing values were interpolated.
        """
        if self.schema.window is None:
            raise ValueError(
                "`stream` needs a model that was trained on windows, and this one read whole sequences. "
                "Train with window=N, or use score_samples."
            )
        if self.schema.missing == "interpolate":
            raise ValueError(
                "`stream` cannot fill in as training did: missing=interpolate looks at later rows. "
                "Train with missing=forward or missing=mask, or use score_samples."
            )
        return self._stream(series, called)

    def _stream(self, series: str | None, called: str) -> Stream:
        def errors(rows: Tensor) -> tuple[Tensor, int]:
            batch = self.task.prepare(
                self.schema.scaler.windows(rows, self.schema.window, series).batch, training=False
            )
            found = self.task.errors(batch, self.answer(batch))
            if found.ndim != 3:
                raise ValueError("`stream` needs a task with an error a step, and this one has one error a sequence.")
            return found if self._usual is None else spread(found), int(offset(batch, found)[0])

        def combined(found: np.ndarray) -> np.ndarray:
            return over_usual(torch.from_numpy(found), present(self._usual, "scales").double()).numpy()

        kept = None if self._usual is None else combined
        return Stream(self.schema, errors, self.schema.window or 0, self._step, called, kept)

    def _errors(self, scaled: Scaled) -> tuple[Batch, Tensor]:
        """Returns the prepared batch, and the task's errors of the model's output, over the usual ones if known."""
        batch = self.task.prepare(scaled.batch, training=False)
        return batch, self.over_usual(batch, self.task.errors(batch, self.answer(batch)))

    def over_usual(self, batch: Batch, errors: Tensor) -> Tensor:
        """Returns errors over what is usual for each feature, where the run fitted it."""
        if self._usual is None:
            return errors
        if not self.scores_sequences:
            return over_usual(spread(errors), self._usual)
        counted = batch.target_observed
        steps = errors.shape[1] if counted is None else counted.sum(dim=1, keepdim=True).clamp(min=1)
        return errors / self._usual / steps

    @property
    def scores_sequences(self) -> bool:
        """Whether the run fitted what is usual for whole sequences, so that an alarm is a sequence and not a step."""
        return self._usual is not None and self.schema.window is None

    def _errors_of(self, found: Sequences, places: list[int]) -> dict[int, Any]:
        """Returns each sequence's errors (time, features), or its one error, by its place."""
        chosen = found.only(places)

        def errors(scaled: Scaled) -> Iterable[tuple[int, Tensor]]:
            batch, made = self._errors(scaled)
            return zip(offset(batch, made).tolist(), made, strict=True)

        found_errors: dict[int, Any] = {}
        of_each = zip(places, chosen.values, self._made(chosen, self._takes_lengths, errors), strict=True)
        for place, values, (begin, own) in of_each:
            if own.ndim == 0:
                found_errors[place] = float(own)
                continue
            found_errors[place] = np.zeros(values.shape)
            found_errors[place][begin : begin + len(own)] = own[: len(values) - begin].numpy()
        return found_errors

    def _each(self, x: Any, pick: Callable[[Output, Scaled], Tensor], stepwise: bool = False) -> Any:
        """Returns what is picked of the output of each sequence; of each step, cut to the sequence's own length."""
        found = self.schema.read(x)
        found.require(self.reads or 1)
        made = self._made(found, self._takes_lengths, lambda scaled: pick(self.answer(scaled.batch), scaled))
        if not stepwise or made[0].ndim < 2:
            return np.stack(made)
        cut = [one[: len(values)].numpy() for one, values in zip(made, found.values, strict=True)]
        return np.stack(cut) if found.is_array else cut

    def _made(self, found: Sequences, takes_lengths: bool, make: Callable[[Scaled], Iterable[Any]]) -> list[Any]:
        """Returns what is made of each sequence, in the order in which they were given."""
        made: dict[int, Any] = {}
        for places, scaled in self.schema.batches(found, takes_lengths):
            made |= zip(places.tolist(), make(scaled), strict=True)
        return [made[place] for place in range(len(found))]
