"""What several models are made of."""

from torch import nn
from torch.nn import init


def set_forget_bias(lstm: nn.LSTM, value: float) -> None:
    """Initialises the forget gates' bias to `value`, so that the cell keeps its memory from the first step on.

    PyTorch adds two bias vectors, `bias_ih` and `bias_hh`: the value goes into the first, and the second becomes 0, or
    the gates would begin at twice the value. The gates lie in the order input, forget, cell, output.

    Source: Jozefowicz, Zaremba and Sutskever 2015, https://proceedings.mlr.press/v37/jozefowicz15.html
    """
    hidden = lstm.hidden_size
    for name, bias in lstm.named_parameters():
        if name.startswith("bias"):
            init.constant_(bias.detach()[hidden : 2 * hidden], value if name.startswith("bias_ih") else 0.0)
