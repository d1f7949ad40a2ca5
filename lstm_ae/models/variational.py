"""A variational autoencoder of sequences."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lstm_ae import checks
from lstm_ae.checks import NotNegative, Units, WholeNumber
from lstm_ae.models.kernel import LSTM
from lstm_ae.models.layers import Lengths, last_layer, run, set_forget_bias
from lstm_ae.types import Output


class VariationalAutoencoder(nn.Module):
    """An autoencoder whose latent is a normal distribution, held near the standard normal by a KL divergence.

    The encoder's last state gives the mean and the logarithm of the variance of each latent value. Training draws the
    latent from them; evaluation takes the mean. It enters the decoder at every step, as in `BottleneckAutoencoder`. The
    loss `kl` is the divergence from the standard normal in nats, summed over the latent values.

    Source: Kingma and Welling 2014, https://arxiv.org/abs/1312.6114; for sequences, with a weight that grows from 0,
    Bowman et al. 2016, https://arxiv.org/abs/1511.06349

    Args:
        features: Values a time step.
        hidden_size: Units of the encoder and of the decoder.
        latent_size: Values of the latent.
        kl_weight: Weight of the divergence in the loss, where the reconstruction counts as a mean over all values.
        warm_up: Epochs over which that weight grows to its full size in training.

    Example:
        >>> output = VariationalAutoencoder(features=1, hidden_size=8, latent_size=3)(torch.zeros(4, 50, 1))
        >>> output.reconstruction.shape, output.latent.shape, list(output.losses)
        (torch.Size([4, 50, 1]), torch.Size([4, 3]), ['kl'])
    """

    @checks.checked
    def __init__(
        self,
        features: int,
        hidden_size: Units,
        latent_size: Units,
        kl_weight: NotNegative = 0.001,
        warm_up: WholeNumber = 0,
    ) -> None:
        super().__init__()
        self.loss_weights = {"kl": kl_weight}
        self.warm_up = warm_up
        self.encoder = LSTM(features, hidden_size, batch_first=True)
        self.distribution = nn.Linear(hidden_size, 2 * latent_size)
        self.decoder = LSTM(latent_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, features)
        set_forget_bias(self.encoder, 1.0)
        set_forget_bias(self.decoder, 1.0)

    def encode(
        self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Returns the mean and the logarithm of the variance of the latent."""
        state = last_layer(self.encoder, run(self.encoder, inputs, lengths)[1])
        mean, log_variance = self.distribution(state).chunk(2, dim=-1)
        return mean, log_variance

    def decode(
        self, latent: Float[Tensor, "batch latent"], time: int, lengths: Lengths = None
    ) -> Float[Tensor, "batch time features"]:
        """Returns the sequences of `time` steps that belong to the latents."""
        states, _ = run(self.decoder, latent.unsqueeze(1).expand(-1, time, -1), lengths)  # (batch, time, hidden)
        values: Tensor = self.head(states)
        return values

    def forward(self, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None) -> Output:
        """Returns the reconstruction, the latent and the loss `kl`."""
        mean, log_variance = self.encode(inputs, lengths)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if self.training else mean
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
        return Output(self.decode(latent, inputs.shape[1], lengths), latent=latent, losses={"kl": divergence})
