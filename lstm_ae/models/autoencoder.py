"""Autoencoders: they read a sequence and give it back."""

from jaxtyping import Float
from torch import Tensor, nn

from lstm_ae import checks
from lstm_ae.checks import Dropped, Layers, Units
from lstm_ae.models.kernel import LSTM
from lstm_ae.models.layers import Lengths, last_layer, reversed_in_time, run, set_forget_bias
from lstm_ae.types import Output


class Autoencoder(nn.Module):
    """The report's autoencoder: LSTM(features -> hidden), then LSTM(hidden -> features).

    The decoder reads the encoder's state at every step, and its own hidden state is the reconstruction: it is bounded
    by tanh to (-1, 1), and nothing is compressed unless hidden < features.

    Args:
        features: Values a time step.
        hidden_size: Units of the encoder.

    Example:
        >>> import torch
        >>> Autoencoder(features=1, hidden_size=8)(torch.zeros(4, 50, 1)).reconstruction.shape
        torch.Size([4, 50, 1])
    """

    @checks.checked
    def __init__(self, features: int, hidden_size: Units) -> None:
        super().__init__()
        self.encoder = LSTM(features, hidden_size, batch_first=True)
        self.decoder = LSTM(hidden_size, features, batch_first=True)

    def encode(
        self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None
    ) -> Float[Tensor, "batch time hidden"]:
        """Returns the encoder's state at every step."""
        return run(self.encoder, inputs, lengths)[0]

    def decode(
        self, states: Float[Tensor, "batch time hidden"], lengths: Lengths = None
    ) -> Float[Tensor, "batch time features"]:
        """Returns the reconstruction that belongs to the encoder's states."""
        return run(self.decoder, states, lengths)[0]

    def forward(self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None) -> Output:
        """Returns the reconstruction and the encoder's states."""
        states = self.encode(inputs, lengths)
        return Output(reconstruction=self.decode(states, lengths), latent=states)


class BottleneckAutoencoder(nn.Module):
    """A true autoencoder: the encoder's last state is all that the decoder sees.

    That state, or a linear layer's few values of it, is the latent. It enters the decoder at every step, and a linear
    layer turns the decoder's states into values.

    Source: the composite of Srivastava, Mansimov and Salakhutdinov 2015, https://arxiv.org/abs/1502.04681 (its
    unconditioned autoencoder, and the reversed target), and of Cho et al. 2014, https://arxiv.org/abs/1406.1078 (the
    latent at every step).

    Args:
        features: Values a time step.
        hidden_size: Units of the encoder and of the decoder, in each layer.
        latent_size: Values of the latent; None: the last state itself.
        num_layers: Layers of the encoder and of the decoder.
        bidirectional: Whether the encoder also reads backwards; its last state is then twice as long.
        dropout: The share of the latent's values, and of those between layers, set to zero while training.
        forget_bias: Initial bias of the forget gates; 0 leaves PyTorch's initialisation as it is.
        reverse_target: Whether the decoder gives the last step first.

    Example:
        >>> import torch
        >>> model = BottleneckAutoencoder(features=1, hidden_size=8, bidirectional=True)
        >>> model.encode(torch.zeros(4, 50, 1)).shape
        torch.Size([4, 16])
        >>> BottleneckAutoencoder(features=1, hidden_size=8, latent_size=3).encode(torch.zeros(4, 50, 1)).shape
        torch.Size([4, 3])
    """

    @checks.checked
    def __init__(
        self,
        features: int,
        hidden_size: Units,
        latent_size: Units | None = None,
        num_layers: Layers = 1,
        bidirectional: bool = False,
        dropout: Dropped = 0.0,
        forget_bias: float = 1.0,
        reverse_target: bool = False,
    ) -> None:
        super().__init__()
        between = dropout if num_layers > 1 else 0.0  # nn.LSTM warns of dropout that has no place to go
        state_size = hidden_size * (2 if bidirectional else 1)
        self.encoder = LSTM(
            features, hidden_size, num_layers, batch_first=True, dropout=between, bidirectional=bidirectional
        )
        self.narrow = nn.Identity() if latent_size is None else nn.Linear(state_size, latent_size)
        self.decoder = LSTM(latent_size or state_size, hidden_size, num_layers, batch_first=True, dropout=between)
        self.head = nn.Linear(hidden_size, features)
        self.dropout = nn.Dropout(dropout)
        self.reverse_target = reverse_target
        if forget_bias:
            set_forget_bias(self.encoder, forget_bias)
            set_forget_bias(self.decoder, forget_bias)

    def encode(
        self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None
    ) -> Float[Tensor, "batch latent"]:
        """Returns the latent, of the last layer's last state, of both directions where there are two."""
        latent: Tensor = self.narrow(last_layer(self.encoder, run(self.encoder, inputs, lengths)[1]))
        return latent

    def decode(
        self, latent: Float[Tensor, "batch latent"], time: int, lengths: Lengths = None
    ) -> Float[Tensor, "batch time features"]:
        """Returns the sequences of `time` steps that belong to the latents."""
        states, _ = run(self.decoder, latent.unsqueeze(1).expand(-1, time, -1), lengths)  # (batch, time, hidden)
        values = self.head(states)  # (batch, time, features)
        return reversed_in_time(values, lengths) if self.reverse_target else values

    def forward(self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None) -> Output:
        """Returns the reconstruction and the latent."""
        latent = self.dropout(self.encode(inputs, lengths))
        return Output(reconstruction=self.decode(latent, inputs.shape[1], lengths), latent=latent)
