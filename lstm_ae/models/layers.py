"""What several models are made of."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import init

SEGMENT = 49  # steps read at once, see `last_and_max`


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


def set_chrono_bias(lstm: nn.LSTM, longest: int) -> None:
    """Initialises the gates' biases so that the units' memories span between 1 and `longest` steps.

    A forget gate's bias is log(u) with u uniform in [1, longest - 1], the input gate's its negative. As in
    `set_forget_bias`, `bias_ih` takes the value and `bias_hh` becomes 0.

    Source: Tallec and Ollivier 2018, Can recurrent neural networks warp time?, https://arxiv.org/abs/1804.11188
    """
    hidden = lstm.hidden_size
    for name, bias in lstm.named_parameters():
        if name.startswith("bias"):
            memory = torch.empty(hidden).uniform_(1, max(2, longest - 1)).log()
            with torch.no_grad():
                bias[:hidden] = -memory if name.startswith("bias_ih") else 0.0
                bias[hidden : 2 * hidden] = memory if name.startswith("bias_ih") else 0.0


def last_and_max(
    lstm: nn.LSTM, inputs: Float[Tensor, "batch time features"], keep_states: bool
) -> tuple[Tensor | None, Float[Tensor, "batch hidden"], Float[Tensor, "batch hidden"]]:
    """Returns all states of an LSTM of one layer, its last state, and the max over time of each unit.

    A long sequence is read in segments where the states need not be kept and there is one direction. The numbers are
    the same; on a CPU the gradient of 784 steps is then computed about twice as fast, as each segment fits the cache.

    Args:
        lstm: Of one layer, batch first.
        inputs: What it reads.
        keep_states: Whether the states of all steps are wanted; else None is returned for them.
    """
    if lstm.bidirectional or keep_states:
        states, (last, _) = lstm(inputs)  # (batch, time, hidden), (directions, batch, hidden)
        return states, torch.cat(tuple(last), dim=-1), states.amax(dim=1)
    segments = inputs.split(SEGMENT, dim=1)
    states, memory = lstm(segments[0])
    max_state = states.amax(dim=1)  # (batch, hidden)
    for segment in segments[1:]:
        states, memory = lstm(segment, memory)
        max_state = torch.maximum(max_state, states.amax(dim=1))
    return None, memory[0][0], max_state
