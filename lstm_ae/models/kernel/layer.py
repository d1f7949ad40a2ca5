"""The layer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lstm_ae.models.kernel.choice import LARGEST, obstacle, pays, recording
from lstm_ae.models.kernel.compile import Kernel, kernel_for
from lstm_ae.models.kernel.function import Recurrence
from lstm_ae.models.kernel.notices import warn_once
from lstm_ae.models.kernel.processor import NOT_INSTALLED, unavailable
from lstm_ae.models.kernel.spec import GATES


class LSTM(nn.LSTM):
    """`nn.LSTM` with the same parameters and answers, computed by the kernel where that can be and is faster.

    The kernel takes one layer, in one or both directions, in float32 on a CPU with AVX2. For anything else, without
    llvmlite, and while operations are recorded (ONNX, TorchScript), the layer calls `nn.LSTM`. With the kernel, one
    forward pass can be differentiated once: neither backward twice nor second derivatives.

    The constructor is `nn.LSTM`'s.

    Attributes:
        kernel: None to use the kernel where it is faster; True to use it wherever it can be used, with a warning where
            it cannot; False to use `nn.LSTM`.

    Examples:
        >>> lstm = LSTM(3, 8, batch_first=True)
        >>> states, (last, memory) = lstm(torch.randn(2, 5, 3), lengths=torch.tensor([5, 2]))
        >>> states.shape, bool((states[1, 2:] == 0).all()), torch.equal(last[0, 1], states[1, 1])
        (torch.Size([2, 5, 8]), True, True)
    """

    kernel: bool | None = None

    def forward(  # type: ignore[override]  # `lengths` is new
        self, input: Tensor | PackedSequence, hx: tuple[Tensor, Tensor] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, tuple[Tensor, Tensor]]:
        """Returns the states of all steps, and the last state and memory, as `nn.LSTM` does.

        Args:
            input: (batch, time, features) with `batch_first`, else (time, batch, features); or anything that `nn.LSTM`
                takes.
            hx: Initial state and memory, each (directions, batch, hidden); zeros where missing.
            lengths: Steps of each sequence, (batch,), in 1..time. A sequence's numbers are then those that it has by
                itself: the states past its length are zero, the last state is that of its last step, the backward
                direction begins at its last step, and what the input holds past its length has no influence.

        Raises:
            ValueError: `lengths` does not fit the input.
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ValueError("`lengths` must be None for a PackedSequence, which has its own. Leave it out.")
            return super().forward(input, hx)
        if lengths is not None:
            self._check(lengths, input)
        kernel = self._kernel(input, hx, lengths is not None)
        if kernel is not None:
            return self._run(kernel, input, hx, lengths)
        if lengths is None:
            return super().forward(input, hx)
        packed = pack_padded_sequence(input, lengths.cpu(), self.batch_first, enforce_sorted=False)
        states, last = super().forward(packed, hx)
        time = input.shape[1 if self.batch_first else 0]
        return pad_packed_sequence(states, self.batch_first, total_length=time)[0], last

    def _check(self, lengths: Tensor, input: Tensor) -> None:
        """Raises an error where lengths do not fit the input."""
        if input.dim() != 3:
            raise ValueError(f"`lengths` needs an input of three dimensions, got {input.dim()}. Add that of the batch.")
        batch, time = input.shape[:2] if self.batch_first else input.shape[1::-1]
        if lengths.shape != (batch,) or lengths.is_floating_point() or lengths.is_complex():
            raise ValueError(
                f"`lengths` must be {batch} integers, one a sequence, got {lengths.dtype} of shape "
                f"{tuple(lengths.shape)}. Pass `torch.tensor([...])` of whole numbers."
            )
        shortest, longest = (int(value) for value in lengths.aminmax()) if batch else (1, time)
        if not 1 <= shortest <= longest <= time:
            raise ValueError(
                f"`lengths` must lie in 1..{time}, the steps of the input, got {shortest}..{longest}. "
                "Leave empty sequences out, and cut lengths to the input's steps."
            )

    def _kernel(self, input: Tensor, hx: tuple[Tensor, Tensor] | None, masked: bool) -> Kernel | None:
        """Returns the kernel for a call, None where `nn.LSTM` is to take it."""
        if self.kernel is False or recording() or (self.kernel is None and not self._pays(input)):
            return None
        self._update_flat_weights()
        reason = obstacle(self, input, hx or (), self._weights())
        if reason is None:
            return kernel_for(self.input_size, self.hidden_size, masked)
        if self.kernel or unavailable() not in (None, NOT_INSTALLED):
            warn_once(f"The LSTM kernel cannot be used, nn.LSTM is used instead. {reason}")
        return None

    def _pays(self, input: Tensor) -> bool:
        if input.dim() != 3:
            return False
        batch, time = input.shape[:2] if self.batch_first else input.shape[1::-1]
        return pays(self.input_size, self.hidden_size, batch, time, torch.get_num_threads())

    def _weights(self) -> list[Tensor]:
        return [weight for weight in self._flat_weights if weight is not None]

    def _run(
        self, kernel: Kernel, input: Tensor, hx: tuple[Tensor, Tensor] | None, lengths: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x = input if self.batch_first else input.transpose(0, 1)
        weights = self._weights()
        given = (x, *weights, *(hx or ()))
        keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)
        apply: Any = Recurrence.apply  # has no annotations
        directions = []
        for i in range(2 if self.bidirectional else 1):
            h0, c0 = (None, None) if hx is None else (hx[0][i : i + 1], hx[1][i : i + 1])
            own = weights[i * GATES : (i + 1) * GATES]
            directions.append(apply(kernel, x, h0, c0, *own, lengths, i == 1, keep))
        if len(directions) == 1:
            ((y, h, c),) = directions
        else:
            forth, back = directions
            y, h, c = (torch.cat((forth[i], back[i]), dim) for i, dim in enumerate((2, 0, 0)))
        return y if self.batch_first else y.transpose(0, 1), (h, c)


def fix(model: nn.Module, usable: bool) -> None:
    """Has each layer computed in one way whatever the batch, so that a sequence's numbers do not depend on it.

    Args:
        model: Any.
        usable: Whether its device is one on which the kernel runs.
    """
    usable = usable and unavailable() is None
    for layer in model.modules():
        if isinstance(layer, LSTM):
            small = max(layer.input_size, layer.hidden_size) <= LARGEST
            layer.kernel = usable and small and layer.num_layers == 1 and layer.bias and not layer.proj_size
