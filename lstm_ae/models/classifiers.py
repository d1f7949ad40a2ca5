"""Classifiers that also reconstruct: the report's variants, and one of ours."""

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lstm_ae import checks
from lstm_ae.checks import Count, Dropped, NotNegative, Units
from lstm_ae.models.autoencoder import Autoencoder
from lstm_ae.models.kernel import LSTM
from lstm_ae.models.layers import (
    Lengths,
    last_and_max,
    last_step,
    lengthen_memories,
    run,
    set_chrono_bias,
    set_forget_bias,
)
from lstm_ae.types import Output, present


class InputClassifier(nn.Module):
    """The report's V1: an `Autoencoder`, and beside it a linear classifier of the raw input, which is a benchmark.

    Args:
        features: Values a time step.
        time: Time steps a sequence.
        classes: How many.
        hidden_size: Units of the encoder.
    """

    produces = frozenset({"classes"})

    @checks.checked
    def __init__(self, features: int, time: int, classes: int, hidden_size: Units) -> None:
        super().__init__()
        self.autoencoder = Autoencoder(features, hidden_size)
        self.classifier = nn.Linear(features * time, classes)

    def forward(self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None) -> Output:
        """Returns the reconstruction and the classes' scores (batch, classes)."""
        output: Output = self.autoencoder(inputs, lengths)
        return replace(output, prediction=self.classifier(inputs.flatten(1)))


class ReconstructionClassifier(nn.Module):
    """The report's V2: one `Autoencoder`, and a linear classifier of the last step of its reconstruction.

    With one value a time step the classifier sees a single number, whatever the hidden size.

    Args:
        features: Values a time step.
        classes: How many.
        hidden_size: Units of the encoder.
    """

    produces = frozenset({"classes"})

    @checks.checked
    def __init__(self, features: int, classes: int, hidden_size: Units) -> None:
        super().__init__()
        self.autoencoder = Autoencoder(features, hidden_size)
        self.classifier = nn.Linear(features, classes)

    def forward(self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None) -> Output:
        """Returns the reconstruction and the classes' scores (batch, classes)."""
        output: Output = self.autoencoder(inputs, lengths)
        return replace(
            output, prediction=self.classifier(last_step(present(output.reconstruction, "reconstruction"), lengths))
        )


class TwinClassifier(nn.Module):
    """The report's V3 and V4: two `Autoencoder`s; one reconstructs, the other's last output step is classified.

    Args:
        features: Values a time step.
        classes: How many.
        hidden_size: Units of each encoder.
        head_layers: 1 for a linear classifier (V3); 2 for Linear(features -> features), ReLU, Linear (V4).
    """

    produces = frozenset({"classes"})

    @checks.checked
    def __init__(self, features: int, classes: int, hidden_size: Units, head_layers: Literal[1, 2] = 1) -> None:
        super().__init__()
        self.reconstructor = Autoencoder(features, hidden_size)
        self.recogniser = Autoencoder(features, hidden_size)
        last = nn.Linear(features, classes)
        hidden_layer = (nn.Linear(features, features), nn.ReLU()) if head_layers == 2 else ()
        self.classifier = nn.Sequential(*hidden_layer, last)

    def forward(self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None) -> Output:
        """Returns the reconstruction and the classes' scores (batch, classes)."""
        recognised: Output = self.recogniser(inputs, lengths)
        last = last_step(present(recognised.reconstruction, "reconstruction"), lengths)  # (batch, features)
        output: Output = self.reconstructor(inputs, lengths)
        return replace(output, prediction=self.classifier(last))


class StateClassifier(nn.Module):
    """The report's V3 and V4 "experimental": a classifier of an encoder's last state, hidden -> classes.

    Args:
        features: Values a time step.
        classes: How many.
        hidden_size: Units of each encoder.
        encoders: 1: the reconstruction and the classifier share an encoder (V3); 2: each has its own (V4).
    """

    produces = frozenset({"classes"})

    @checks.checked
    def __init__(self, features: int, classes: int, hidden_size: Units, encoders: Literal[1, 2] = 1) -> None:
        super().__init__()
        self.autoencoder = Autoencoder(features, hidden_size)
        self.encoder = LSTM(features, hidden_size, batch_first=True) if encoders == 2 else None
        self.classifier = nn.Linear(hidden_size, classes)

    def forward(self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None) -> Output:
        """Returns the reconstruction and the classes' scores (batch, classes)."""
        output: Output = self.autoencoder(inputs, lengths)
        states = present(output.latent, "states")  # (batch, time, hidden)
        if self.encoder is not None:
            states, _ = run(self.encoder, inputs, lengths)
        return replace(output, prediction=self.classifier(last_step(states, lengths)))


class PooledClassifier(nn.Module):
    """Ours: a classifier on last-state, max-over-time or mean-over-time pooling of an encoder.

    Pooling over time reaches back to every step by one gradient step, where the last state alone must carry what it
    saw through all that follow.

    Args:
        features: Values a time step.
        classes: How many.
        hidden_size: Units of the encoder, in each direction.
        bidirectional: Whether the encoder also reads backwards.
        pooling: What the classifier sees: the `last` state, the `max` or the `mean` over time of each unit, or `both`
            of the first two.
        dropout: The share of what it sees that is set to zero while training.
        input_noise: Standard deviation of normal noise on the scaled inputs while training, against overfitting; none
            is added to missing values.
        input_offset: The same of noise that is the same at all steps of a sequence: another sensor, or another session.
        memory: The longest memory, in steps, with which the gates begin (chrono initialisation), see `set_chrono_bias`;
            None, and the forget gates begin at 1.
        reconstruct: Whether a decoder LSTM(hidden -> features) reconstructs from the encoder's states, as in
            `Autoencoder`.
    """

    produces = frozenset({"classes"})

    @checks.checked
    def __init__(
        self,
        features: int,
        classes: int,
        hidden_size: Units,
        bidirectional: bool = True,
        pooling: Literal["last", "max", "mean", "both"] = "max",
        dropout: Dropped = 0.0,
        input_noise: NotNegative = 0.0,
        input_offset: NotNegative = 0.0,
        memory: Count | None = None,
        reconstruct: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = LSTM(features, hidden_size, batch_first=True, bidirectional=bidirectional)
        width = hidden_size * (2 if bidirectional else 1)
        pooled_size = width * (2 if pooling == "both" else 1)
        self.pooling, self.input_noise, self.input_offset = pooling, input_noise, input_offset
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(pooled_size, classes)
        self.decoder = LSTM(width, features, batch_first=True) if reconstruct else None
        if memory is None:
            set_forget_bias(self.encoder, 1.0)
        else:
            set_chrono_bias(self.encoder, memory)

    def lengthen(self, factor: float) -> None:
        """Fits the encoder to sequences `factor` times as long, see `lengthen_memories`."""
        lengthen_memories(self.encoder, factor)

    def forward(
        self,
        inputs: Float[Tensor, "batch time features"],
        lengths: Lengths = None,
        observed: Bool[Tensor, "batch time features"] | None = None,
    ) -> Output:
        """Returns the classes' scores (batch, classes), and the reconstruction where there is a decoder."""
        if self.training and (self.input_noise or self.input_offset):
            noise = self.input_noise * torch.randn_like(inputs) + self.input_offset * torch.randn_like(inputs[:, :1])
            inputs = inputs + (noise if observed is None else noise * observed)  # no layer reads padding
        keep_states = self.decoder is not None or self.pooling == "mean"
        states, last, max_state = last_and_max(self.encoder, inputs, lengths, keep_states)
        pooled = {"last": (last,), "max": (max_state,), "both": (last, max_state)}.get(self.pooling)
        if pooled is None:  # states are 0 beyond a sequence's length
            steps = inputs.shape[1] if lengths is None else lengths.unsqueeze(1)
            pooled = (present(states, "states").sum(dim=1) / steps,)
        scores = self.classifier(self.dropout(torch.cat(pooled, dim=-1)))
        if self.decoder is None:
            return Output(prediction=scores)
        states = present(states, "states")
        return Output(run(self.decoder, states, lengths)[0], scores, latent=states)
