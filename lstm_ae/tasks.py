"""Tasks: what an output is worth. From a `Batch` and an `Output` to a `Score`."""

from torch.nn import functional as F

from lstm_ae.types import Batch, Output, Score


class Reconstruction:
    """Give back the sequence that was read: mean squared error over all values, on the scaled values.

    Example:
        >>> import torch
        >>> ones = torch.ones(2, 5, 1)
        >>> score = Reconstruction().score(Batch(ones, scale=torch.ones(2, 1)), Output(reconstruction=0.5 * ones))
        >>> score.loss.item()
        0.25
    """

    name = "reconstruction"
    error = "reconstruction_mse"

    def score(self, batch: Batch, output: Output) -> Score:
        """Returns the loss and the metrics of one batch.

        Raises:
            ValueError: the model reconstructs nothing.
        """
        if output.reconstruction is None:
            raise ValueError("`task=reconstruction` needs a model that reconstructs. Use model=autoencoder.")
        loss = F.mse_loss(output.reconstruction, batch.inputs)
        return Score(loss, {"reconstruction_mse": loss.detach()})
