"""Predictors that also reconstruct: the report's variants, and one of ours."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lstm_ae import checks
from lstm_ae.checks import Dropped, Units
from lstm_ae.models.autoencoder import Autoencoder
from lstm_ae.models.kernel import LSTM
from lstm_ae.models.layers import Lengths, last_layer, last_step, run, set_forget_bias
from lstm_ae.types import Output


class NextStepPredictor(nn.Module):
    """The report's first predictor: two `Autoencoder`s; an MLP turns the second's last output step into the next step.

    The MLP is Linear(features -> hidden), ReLU, Linear(hidden -> features).

    Args:
        features: Values a time step.
        hidden_size: Units of each encoder and of the MLP.
    """

    produces = frozenset({"next_step"})

    @checks.checked
    def __init__(self, features: int, hidden_size: Units) -> None:
        super().__init__()
        self.reconstructor = Autoencoder(features, hidden_size)
        self.predictor = Autoencoder(features, hidden_size)
        self.head = nn.Sequential(nn.Linear(features, hidden_size), nn.ReLU(), nn.Linear(hidden_size, features))

    def forward(self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None) -> Output:
        """Returns the reconstruction and the step after the last, (batch, 1, features)."""
        last = last_step(self.predictor(inputs, lengths).reconstruction, lengths)  # (batch, features)
        output: Output = self.reconstructor(inputs, lengths)
        return replace(output, prediction=self.head(last).unsqueeze(1))


class ShiftedSequencePredictor(nn.Module):
    """The report's second and third predictor: one `Autoencoder` reconstructs, another gives the sequence a step later.

    Both are bounded by tanh, so that scaled values beyond (-1, 1) cannot be predicted.

    Args:
        features: Values a time step.
        hidden_size: Units of each encoder.
        hide_last: Whether the last input step is set to zero before the second reads it (the report's second).
    """

    produces = frozenset({"next_sequence"})

    @checks.checked
    def __init__(self, features: int, hidden_size: Units, hide_last: bool = False) -> None:
        super().__init__()
        self.reconstructor = Autoencoder(features, hidden_size)
        self.predictor = Autoencoder(features, hidden_size)
        self.hide_last = hide_last

    def forward(self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None) -> Output:
        """Returns the reconstruction, and for each step a prediction of the next, (batch, time, features)."""
        seen = inputs
        if self.hide_last:
            time = torch.arange(inputs.shape[1], device=inputs.device)
            last = inputs.shape[1] - 1 if lengths is None else lengths.unsqueeze(1) - 1
            seen = torch.where((time == last).view(-1, inputs.shape[1], 1), 0.0, inputs)
        predicted = self.predictor(seen, lengths).reconstruction
        output: Output = self.reconstructor(inputs, lengths)
        return replace(output, prediction=predicted)


class ResidualPredictor(nn.Module):
    """Ours: it predicts how the next step differs from the present one, and begins by predicting that it does not.

    An untrained model so equals persistence (tomorrow = today), and training can only add to that. What it says of the
    change does not depend on the level: the LSTM reads the changes from step to step, not the values.

    Args:
        features: Values a time step.
        hidden_size: Units of the LSTM and of the encoder that reconstructs.
        dropout: The share of the LSTM's states set to zero before the last layer while training.
    """

    produces = frozenset({"next_sequence"})

    @checks.checked
    def __init__(self, features: int, hidden_size: Units, dropout: Dropped = 0.0) -> None:
        super().__init__()
        self.reconstructor = Autoencoder(features, hidden_size)
        self.lstm = LSTM(features, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, features)
        set_forget_bias(self.lstm, 1.0)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None) -> Output:
        """Returns the reconstruction, and for each step a prediction of the next, (batch, time, features)."""
        changes = inputs - torch.cat([inputs[:, :1], inputs[:, :-1]], dim=1)
        states, _ = run(self.lstm, changes, lengths)  # (batch, time, hidden)
        predicted = inputs + self.head(self.dropout(states))
        output: Output = self.reconstructor(inputs, lengths)
        return replace(output, prediction=predicted)


class Forecaster(nn.Module):
    """Ours: an encoder's last state is all that a decoder of the future sees, and one that gives the inputs back.

    The future's decoder returns all steps of the horizon at once, as changes from the last input: it begins as
    persistence. Without the decoder of the inputs (`reconstruct=false`) nothing is reconstructed.

    Source: the composite model of Srivastava, Mansimov and Salakhutdinov 2015, https://arxiv.org/abs/1502.04681

    Args:
        features: Values a time step.
        hidden_size: Units of the encoder and of each decoder.
        horizon: Steps ahead, those of the task.
        reconstruct: Whether the inputs are given back, too.
        dropout: The share of the latent's values set to zero while training.

    Example:
        >>> output = Forecaster(features=2, hidden_size=8, horizon=3)(torch.zeros(4, 50, 2))
        >>> output.prediction.shape, output.latent.shape
        (torch.Size([4, 3, 2]), torch.Size([4, 8]))
    """

    produces = frozenset({"horizon"})

    @checks.checked
    def __init__(
        self, features: int, hidden_size: Units, horizon: Units, reconstruct: bool = True, dropout: Dropped = 0.0
    ) -> None:
        super().__init__()
        self.horizon = horizon
        self.encoder = LSTM(features, hidden_size, batch_first=True)
        self.future = LSTM(hidden_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, features)
        self.past = LSTM(hidden_size, hidden_size, batch_first=True) if reconstruct else None
        self.past_head = nn.Linear(hidden_size, features) if reconstruct else None
        self.dropout = nn.Dropout(dropout)
        for lstm in (self.encoder, self.future, self.past):
            if lstm is not None:
                set_forget_bias(lstm, 1.0)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None) -> Output:
        """Returns the horizon (batch, horizon, features), the latent, and the reconstruction where there is one."""
        latent = self.dropout(last_layer(self.encoder, run(self.encoder, inputs, lengths)[1]))
        states, _ = run(self.future, latent.unsqueeze(1).expand(-1, self.horizon, -1))  # (batch, horizon, hidden)
        predicted = last_step(inputs, lengths).unsqueeze(1) + self.head(states)
        if self.past is None or self.past_head is None:
            return Output(prediction=predicted, latent=latent)
        states, _ = run(self.past, latent.unsqueeze(1).expand(-1, inputs.shape[1], -1), lengths)
        return Output(self.past_head(states), predicted, latent)
