"""What several models are made of. All recurrence goes through `run`."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import init

from lstm_ae.models.kernel import LSTM

SEGMENT = 196  # steps read at once, see `last_and_max`

Lengths = Int[Tensor, " batch"] | None
State = tuple[Tensor, Tensor]


def run(
    lstm: LSTM, inputs: Float[Tensor, "batch time features"], lengths: Lengths = None, state: State | None = None
) -> tuple[Float[Tensor, "batch time hidden"], State]:
    """Returns the states of an LSTM's last layer at every step, and the state after the last.

    Args:
        lstm: Batch first.
        inputs: What it reads.
        lengths: Steps of each sequence; its states are 0 beyond, and its last state is that of its own last step, so
            that each sequence gives what it gives by itself. None: all are as long as the batch.
        state: What it begins with, (layers * directions, batch, hidden) each of hidden state and memory; None: zeros.
    """
    states, last = lstm(inputs, state, lengths)
    return states, last


def last_layer(lstm: nn.LSTM, state: State) -> Float[Tensor, "batch hidden"]:
    """Returns the last layer's hidden state, of both directions where there are two."""
    directions = 2 if lstm.bidirectional else 1
    return torch.cat(tuple(state[0][-directions:]), dim=-1)


def last_step(values: Float[Tensor, "batch time features"], lengths: Lengths = None) -> Float[Tensor, "batch features"]:
    """Returns the values at each sequence's last step."""
    if lengths is None:
        return values[:, -1]
    return values[torch.arange(len(values), device=values.device), lengths - 1]


def inside(values: Tensor, lengths: Int[Tensor, " batch"]) -> Tensor:
    """Returns which steps (batch, time, 1) are no padding."""
    return (torch.arange(values.shape[1], device=values.device) < lengths.unsqueeze(1)).unsqueeze(2)


def reversed_in_time(
    values: Float[Tensor, "batch time features"], lengths: Lengths = None
) -> Float[Tensor, "batch time features"]:
    """Returns each sequence with its last step first; padding stays where it is."""
    if lengths is None:
        return values.flip(1)
    time = torch.arange(values.shape[1], device=values.device)
    place = torch.where(time < lengths.unsqueeze(1), lengths.unsqueeze(1) - 1 - time, time)  # (batch, time)
    return values.gather(1, place.unsqueeze(2).expand_as(values))


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


def lengthen_memories(lstm: nn.LSTM, factor: float) -> None:
    """Makes each unit's memory about `factor` times as long, for sequences that say the same in more steps.

    The input gates' bias falls and the forget gates' rises by log(factor): where the forget gate is near 1, a step then
    forgets, and adds, about 1 / factor as much. A trained layer so reads longer sequences nearly as it read the shorter
    ones: in one training, images twice as fine (`factor` 4) began at a loss of 1.7 in place of 8.

    Source: the argument of Tallec and Ollivier 2018, https://arxiv.org/abs/1804.11188
    """
    hidden = lstm.hidden_size
    with torch.no_grad():
        for name, bias in lstm.named_parameters():
            if name.startswith("bias_ih"):
                bias[:hidden] -= math.log(factor)
                bias[hidden : 2 * hidden] += math.log(factor)


def last_and_max(
    lstm: LSTM, inputs: Float[Tensor, "batch time features"], lengths: Lengths, keep_states: bool
) -> tuple[Tensor | None, Float[Tensor, "batch hidden"], Float[Tensor, "batch hidden"]]:
    """Returns all states of an LSTM of one layer, its last state, and the max over time of each unit.

    A long sequence is read in segments where the states need not be kept and there is one direction, and not while it
    is exported to ONNX: the number of segments would be fixed. The numbers are
    the same; on a CPU the gradient of 784 steps is then computed 1.4 times as fast, as each segment fits the cache.

    Args:
        lstm: Of one layer, batch first.
        inputs: What it reads.
        lengths: See `run`.
        keep_states: Whether the states of all steps are wanted; else None is returned for them.
    """
    if lstm.bidirectional or keep_states or lengths is not None or torch.onnx.is_in_onnx_export():
        states, state = run(lstm, inputs, lengths)  # (batch, time, hidden)
        counted = states if lengths is None else states.masked_fill(~inside(states, lengths), -torch.inf)
        return states, last_layer(lstm, state), counted.amax(dim=1)
    segments = torch.split(inputs, SEGMENT, dim=1)
    states, state = run(lstm, segments[0])
    max_state = states.amax(dim=1)  # (batch, hidden)
    for segment in segments[1:]:
        states, state = run(lstm, segment, state=state)
        max_state = torch.maximum(max_state, states.amax(dim=1))
    return None, state[0][0], max_state
