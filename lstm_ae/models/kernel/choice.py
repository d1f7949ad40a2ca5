"""When the kernel can take a call of a layer, and when it is faster than `nn.LSTM`."""

import torch
from torch import Tensor, nn

from lstm_ae.models.kernel.processor import unavailable
from lstm_ae.models.kernel.spec import LANES

# Measured on a Zen 3 with one and two threads, see lstm_ae/benchmark.py.
LARGEST = 128  # inputs or units: not measured beyond
SHORTEST = 4  # steps: below, starting the kernel costs more than it saves
#: The share of the lanes in use from which on the kernel is faster, by the largest number of inputs or units.
FILLED = {16: 0.5, 32: 0.6, 64: 0.75, 128: 0.9}


def recording() -> bool:
    """Returns whether operations are recorded (ONNX, TorchScript, torch.compile); the kernel cannot be."""
    return torch.onnx.is_in_onnx_export() or torch._C._is_tracing() or torch.compiler.is_compiling()


def obstacle(lstm: nn.LSTM, input: Tensor, states: tuple[Tensor, ...], weights: list[Tensor]) -> str | None:
    """Returns why the kernel cannot take a call, None where it can.

    Args:
        lstm: The layer.
        input: What it reads.
        states: The initial state and memory, or nothing.
        weights: The layer's, in PyTorch's order.
    """
    if (reason := unavailable()) is not None:
        return reason
    if lstm.num_layers != 1 or lstm.proj_size or not lstm.bias:
        return "It takes a single layer with biases and without projections."
    for tensor in (input, *states, *weights):
        if not tensor.is_cpu or tensor.dtype != torch.float32:
            return f"It takes float32 on the CPU, got {tensor.dtype} on {tensor.device}."
    if torch.is_autocast_enabled("cpu"):
        return "Autocast is on, under which nn.LSTM computes in lower precision."
    if type(input) is not Tensor and type(input) is not nn.Parameter:
        return f"It takes a plain tensor, got a {type(input).__name__}."
    if not all(weight.is_contiguous() for weight in weights):
        return "It takes contiguous weights."
    if input.dim() != 3 or input.numel() == 0 or input.shape[2] != lstm.input_size:
        return f"It takes a batch of sequences of {lstm.input_size} features, got the shape {tuple(input.shape)}."
    shape = (2 if lstm.bidirectional else 1, input.shape[0 if lstm.batch_first else 1], lstm.hidden_size)
    if any(state.shape != shape for state in states):
        return f"It takes initial states of the shape {shape}."
    return None


def pays(inputs: int, hidden: int, batch: int, time: int, threads: int) -> bool:
    """Returns whether the kernel is at least as fast as `nn.LSTM` for a call.

    Tiles that are not full cost as much as full ones. Larger layers also need a tile for every thread, because there
    `nn.LSTM` uses all threads for the same product.
    """
    largest = max(inputs, hidden)
    if largest > LARGEST or time < SHORTEST:
        return False
    tiles = -(-batch // LANES)
    if largest > 32:
        tiles = -(-tiles // threads) * threads
    filled = next(share for limit, share in FILLED.items() if largest <= limit)
    return batch >= filled * tiles * LANES
