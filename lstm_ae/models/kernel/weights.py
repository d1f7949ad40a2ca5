"""IR: PyTorch's weights in the order in which the kernel reads them, and the gradients back in PyTorch's order.

PyTorch has (4 hidden, inputs), (4 hidden, hidden) and two biases (4 hidden,), a gate's units one after the other.
"""

from llvmlite import ir

from lstm_ae.models.kernel.builder import FLOAT, Builder
from lstm_ae.models.kernel.spec import CELL_GATE, GATES, Spec

SMALL = "optsize"  # not unrolled: these functions take little time, and LLVM would take most of its own for them


def emit_pack(module: ir.Module, spec: Spec) -> None:
    """Adds `pack(w_ih, w_hh, b_ih, b_hh, w, bias, wt)`, which writes the last three, see `Forward` and `Backward`.

    w and bias are halved for the gates with a logistic function, s(x) = (1 + tanh(x / 2)) / 2; wt is not.
    """
    c = Builder(module, "pack", "w_ih w_hh b_ih b_hh w bias wt", "")
    c.function.attributes.add(SMALL)
    w_ih, w_hh, b_ih, b_hh, w, bias, wt = c.arguments
    inputs, hidden = spec.inputs, spec.hidden
    for gate in range(GATES):
        scale = ir.Constant(FLOAT, 1.0 if gate == CELL_GATE else 0.5)
        with c.loop(0, hidden) as u:
            line = c.add(u, gate * hidden)
            value = c.b.fadd(c.load_number(b_ih, line), c.load_number(b_hh, line))
            c.store_number(c.b.fmul(value, scale), bias, c.mul(u, GATES), gate)
            for source, count, base in ((w_ih, inputs, 0), (w_hh, hidden, inputs)):
                with c.loop(0, count) as k:
                    value = c.b.fmul(c.load_number(source, c.mul(line, count), k), scale)
                    c.store_number(value, w, c.mul(c.add(c.mul(u, inputs + hidden), base, k), GATES), gate)
            for source, count, base in ((w_hh, hidden, 0), (w_ih, inputs, hidden)):
                for first, length in c.blocks(count, spec.tile.rows):
                    block = c.at(wt, c.mul(c.add(first, base), GATES * hidden))
                    for r in range(length):
                        value = c.load_number(source, c.mul(line, count), first, r)
                        c.store_number(value, block, c.mul(c.add(c.mul(u, GATES), gate), length), r)
    c.finish()


def emit_unpack(module: ir.Module, spec: Spec) -> None:
    """Adds `unpack(dw, g_w_ih, g_w_hh, g_b_ih, g_b_hh, tiles)`: the sum of `dw` over the tiles, in PyTorch's order."""
    c = Builder(module, "unpack", "dw g_w_ih g_w_hh g_b_ih g_b_hh", "tiles")
    c.function.attributes.add(SMALL)
    dw, g_w_ih, g_w_hh, g_b_ih, g_b_hh, tiles = c.arguments
    inputs, hidden = spec.inputs, spec.hidden
    parts = (([g_w_ih], inputs, 0), ([g_w_hh], hidden, inputs), ([g_b_ih, g_b_hh], 1, inputs + hidden))
    total = c.entry.alloca(FLOAT)
    for gate in range(GATES):
        with c.loop(0, hidden) as u:
            for targets, count, base in parts:
                with c.loop(0, count) as k:
                    place = c.mul(c.add(c.mul(u, spec.columns), base, k), GATES)
                    c.b.store(ir.Constant(FLOAT, 0.0), total)
                    with c.loop(0, tiles) as n:
                        value = c.load_number(dw, c.mul(n, spec.gradient), place, gate)
                        c.b.store(c.b.fadd(c.b.load(total, typ=FLOAT), value), total)
                    for target in targets:
                        c.store_number(c.b.load(total, typ=FLOAT), target, c.mul(c.add(u, gate * hidden), count), k)
    c.finish()
