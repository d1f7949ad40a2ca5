"""The autograd function: memory, and the calls of the compiled functions."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lstm_ae.models.kernel import rows
from lstm_ae.models.kernel.compile import Kernel
from lstm_ae.models.kernel.spec import GATES

BYTES = 4  # of a float32


class Recurrence(torch.autograd.Function):
    """One direction of an LSTM layer on a CPU, in float32.

    It can be differentiated once, and each forward pass once: backward overwrites what forward has saved.
    """

    @staticmethod
    def forward(
        ctx: Any,
        kernel: Kernel,
        x: Float[Tensor, "batch time inputs"],
        h0: Float[Tensor, "1 batch hidden"] | None,
        c0: Float[Tensor, "1 batch hidden"] | None,
        w_ih: Float[Tensor, "gates inputs"],
        w_hh: Float[Tensor, "gates hidden"],
        b_ih: Float[Tensor, " gates"],
        b_hh: Float[Tensor, " gates"],
        lengths: Int[Tensor, " batch"] | None,
        reverse: bool,
        keep: bool,
    ) -> tuple[
        Float[Tensor, "batch time hidden"], Float[Tensor, "1 batch hidden"], Float[Tensor, "1 batch hidden"]
    ]:  # fmt: skip
        """Returns the outputs of all steps, the last state and the last memory.

        Args:
            ctx: Autograd's context.
            kernel: Of the layer's sizes; masked where there are lengths.
            x: Inputs.
            h0: Initial state, zeros where it is missing.
            c0: Initial memory, missing where `h0` is.
            w_ih: PyTorch's weights of the inputs.
            w_hh: PyTorch's weights of the states.
            b_ih: PyTorch's first bias.
            b_hh: PyTorch's second bias.
            lengths: Steps of each sequence, where they differ: in 1..time.
            reverse: Whether to go from the last step to the first.
            keep: Whether backward may follow.
        """
        spec, (batch, time, _) = kernel.spec, x.shape
        narrow = spec.tile.narrow
        is_narrow = batch <= narrow.lanes and not keep
        tiles, padded = rows.padded_batch(batch, narrow.lanes if is_narrow else spec.tile.lanes)
        packed = torch.empty(2 * spec.weights + GATES * spec.hidden)
        w = packed.data_ptr()
        wt = w + BYTES * spec.weights
        bias = wt + BYTES * spec.weights
        kernel.pack(w_ih.data_ptr(), w_hh.data_ptr(), b_ih.data_ptr(), b_hh.data_ptr(), w, bias, wt)
        inputs = rows.to_rows(x, padded)
        steps = None if lengths is None else rows.padded_lengths(lengths, padded)
        if steps is not None:
            inputs = inputs.masked_fill(rows.over(steps, time), 0.0)  # NaN there would reach the weights' gradient
        states, memory = torch.empty((time + 1, spec.hidden, padded)), torch.empty((2, spec.hidden, padded))
        rows.put_state(h0, states[time if reverse else 0])
        rows.put_state(c0, memory[1])
        saved = torch.empty((tiles, time + 1 if keep else 1, spec.record))
        kernel.run("forward_narrow" if is_narrow else "forward", tiles,
                   inputs.data_ptr(), w, bias, states.data_ptr(), memory.data_ptr(), saved.data_ptr(),
                   0 if steps is None else steps.data_ptr(), time, padded, keep, reverse)  # fmt: skip
        outputs = states[:time] if reverse else states[1:]
        if steps is not None:
            outputs = outputs.masked_fill(rows.over(steps, time), 0.0)
        # Detached: autograd is to take them as tensors of their own, and not as views that must not be written.
        y = outputs[..., :batch].permute(2, 0, 1).detach()
        h = states[0 if reverse else time].clone()[None, :, :batch].transpose(1, 2).detach()
        c = memory[:1, :, :batch].transpose(1, 2).detach()
        if keep:
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(x, y)  # so that what is written into them in place is noticed
            ctx.kernel, ctx.reverse, ctx.kept = kernel, reverse, (inputs, packed, states, saved, steps)
        return y, h, c

    @staticmethod
    def backward(ctx: Any, gy: Tensor | None, gh: Tensor | None, gc: Tensor | None) -> tuple[Tensor | None, ...]:
        """Returns the gradients of forward's arguments.

        Raises:
            RuntimeError: second derivatives are wanted, or backward has been called before.
        """
        if torch.is_grad_enabled():  # as under `create_graph`; autograd would take what follows for a constant
            raise RuntimeError("The LSTM kernel has no second derivatives. Set the layer's `kernel` to False.")
        if ctx.kept is None:
            raise RuntimeError(
                "The LSTM kernel can go backward only once for each forward pass. "
                "Call the layer again, or set its `kernel` to False."
            )
        x, _ = ctx.saved_tensors  # raises where they were changed
        (inputs, packed, states, saved, steps), ctx.kept = ctx.kept, None
        kernel, spec, (batch, time, _) = ctx.kernel, ctx.kernel.spec, x.shape
        tiles, padded = len(saved), states.shape[-1]
        outputs = torch.zeros((time, spec.hidden, padded)) if gy is None else rows.to_rows(gy, padded)
        last = torch.empty((2, spec.hidden, padded))
        rows.put_state(gh, last[0])
        rows.put_state(gc, last[1])
        _, need_x, need_h, need_c, *_ = ctx.needs_input_grad
        dx = torch.empty((time, spec.inputs, padded)) if need_x else None
        wide = kernel.threads(tiles) * spec.gradient * spec.tile.width
        room = torch.empty(wide + tiles * spec.gradient)
        sums = room.data_ptr()
        dw = sums + BYTES * wide
        dh, dc = last[0].data_ptr(), last[1].data_ptr()
        kernel.run("backward", tiles, inputs.data_ptr(),
                   packed.data_ptr() + BYTES * spec.weights, states.data_ptr(), saved.data_ptr(), outputs.data_ptr(),
                   0 if dx is None else dx.data_ptr(), dh, dc, dw, sums,
                   0 if steps is None else steps.data_ptr(), time, padded, ctx.reverse,
                   dx is not None)  # fmt: skip
        gates = GATES * spec.hidden
        weights = [torch.empty(shape) for shape in ((gates, spec.inputs), (gates, spec.hidden), (gates,), (gates,))]
        kernel.unpack(dw, *(gradient.data_ptr() for gradient in weights), tiles)
        g_x = None if dx is None else dx[..., :batch].permute(2, 0, 1)
        g_h, g_c = (
            last[i : i + 1, :, :batch].transpose(1, 2) if need else None for i, need in enumerate((need_h, need_c))
        )
        return None, g_x, g_h, g_c, *weights, None, None, None
