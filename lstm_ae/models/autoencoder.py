"""Autoencoders: they read a sequence and give it back."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lstm_ae import checks
from lstm_ae.models.layers import set_forget_bias
from lstm_ae.types import Output


class Autoencoder(nn.Module):
    """The report's autoencoder: LSTM(features -> hidden), then LSTM(hidden -> features).

    The decoder reads the encoder's state at every step, and its own hidden state is the reconstruction: it is bounded
    by tanh to (-1, 1), and nothing is compressed unless hidden < features.

    Args:
        features: Values a time step.
        hidden_size: Units of the encoder.

    Example:
        >>> Autoencoder(features=1, hidden_size=8)(torch.zeros(4, 50, 1)).reconstruction.shape
        torch.Size([4, 50, 1])
    """

    produces = "nothing"

    def __init__(self, features: int, hidden_size: int) -> None:
        super().__init__()
        checks.at_least("hidden_size", hidden_size, 1)
        self.latent_size = hidden_size
        self.encoder = nn.LSTM(features, hidden_size, batch_first=True)
        self.decoder = nn.LSTM(hidden_size, features, batch_first=True)

    def encode(self, inputs: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch time hidden"]:
        """Returns the encoder's state at every step."""
        states, _ = self.encoder(inputs)  # (batch, time, hidden)
        return states

    def decode(self, states: Float[Tensor, "batch time hidden"]) -> Float[Tensor, "batch time features"]:
        """Returns the reconstruction that belongs to the encoder's states."""
        reconstruction, _ = self.decoder(states)  # (batch, time, features)
        return reconstruction

    def forward(self, inputs: Float[Tensor, "batch time features"]) -> Output:
        """Returns the reconstruction."""
        return Output(reconstruction=self.decode(self.encode(inputs)))


class BottleneckAutoencoder(nn.Module):
    """A true autoencoder: the encoder's last state is all that the decoder sees.

    That state, the code, enters the decoder at every step, and a linear layer turns the decoder's states into values.

    Source: the composite of Srivastava, Mansimov and Salakhutdinov 2015, https://arxiv.org/abs/1502.04681 (its
    unconditioned autoencoder, and the reversed target), and of Cho et al. 2014, https://arxiv.org/abs/1406.1078 (the
    code at every step).

    Args:
        features: Values a time step.
        hidden_size: Units of the encoder and of the decoder, in each layer.
        num_layers: Layers of the encoder and of the decoder.
        bidirectional: Whether the encoder also reads backwards; the code is then twice as long.
        dropout: The share of the code's values, and of those between layers, set to zero while training.
        forget_bias: Initial bias of the forget gates; 0 leaves PyTorch's initialisation as it is.
        reverse_target: Whether the decoder gives the last step first.

    Example:
        >>> model = BottleneckAutoencoder(features=1, hidden_size=8, bidirectional=True)
        >>> model.encode(torch.zeros(4, 50, 1)).shape
        torch.Size([4, 16])
    """

    produces = "nothing"

    def __init__(
        self,
        features: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        forget_bias: float = 1.0,
        reverse_target: bool = False,
    ) -> None:
        super().__init__()
        checks.at_least("hidden_size", hidden_size, 1)
        checks.at_least("num_layers", num_layers, 1)
        checks.dropout(dropout)
        between = dropout if num_layers > 1 else 0.0  # nn.LSTM warns of dropout that has no place to go
        self.latent_size = hidden_size * (2 if bidirectional else 1)
        self.encoder = nn.LSTM(
            features, hidden_size, num_layers, batch_first=True, dropout=between, bidirectional=bidirectional
        )
        self.decoder = nn.LSTM(self.latent_size, hidden_size, num_layers, batch_first=True, dropout=between)
        self.head = nn.Linear(hidden_size, features)
        self.dropout = nn.Dropout(dropout)
        self.reverse_target = reverse_target
        if forget_bias:
            set_forget_bias(self.encoder, forget_bias)
            set_forget_bias(self.decoder, forget_bias)

    def encode(self, inputs: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch code"]:
        """Returns the code: the last layer's last state, of both directions where there are two."""
        _, (last, _) = self.encoder(inputs)  # (layers * directions, batch, hidden)
        directions = 2 if self.encoder.bidirectional else 1
        return torch.cat(tuple(last[-directions:]), dim=-1)  # (batch, code)

    def decode(self, code: Float[Tensor, "batch code"], time: int) -> Float[Tensor, "batch time features"]:
        """Returns the sequences of `time` steps that belong to the codes."""
        states, _ = self.decoder(code.unsqueeze(1).expand(-1, time, -1))  # (batch, time, hidden)
        values = self.head(states)  # (batch, time, features)
        return values.flip(1) if self.reverse_target else values

    def forward(self, inputs: Float[Tensor, "batch time features"]) -> Output:
        """Returns the reconstruction."""
        code = self.dropout(self.encode(inputs))
        return Output(reconstruction=self.decode(code, inputs.shape[1]))
