"""IR: the forward pass of one tile through all steps."""

from llvmlite import ir

from lstm_ae.models.kernel.activations import logistic_of_half, quotients, tanh
from lstm_ae.models.kernel.builder import Builder
from lstm_ae.models.kernel.spec import CELL_GATE, GATES, MEMORY_ROW, TANH_ROW, Spec
from lstm_ae.models.kernel.steps import Steps, valid

POINTERS, INTEGERS = "x w bias hs cs saved lengths", "T B keep reverse thread n"


class Forward:
    """The function `forward`, whose arguments are `POINTERS` and `INTEGERS`; B is the batch filled up to whole tiles.

    - x (T, inputs, B): the inputs.
    - w (hidden, inputs + hidden, 4), bias (hidden, 4): the gates' weights; those of logistic gates are halved.
    - hs (T + 1, hidden, B): the states, written. The initial state is given, in the first place (reverse: in the last).
    - cs (2, hidden, B): the last memory, written, and the initial memory, given.
    - saved (tiles, T + 1, 6 hidden, lanes): what backward needs of each step; (tiles, 1, ...) where keep = 0. A step
      has `hidden` times four gates, then `hidden` rows of tanh of the memory, then `hidden` rows of the memory.
    - lengths (B): valid steps of each sequence, as float32; read where the kernel is masked. A sequence that is over
      keeps its state and memory.
    - keep: 1 if backward will follow, else 0. reverse: 1 to go from the last step to the first, else 0.
    - thread: which thread calls. n: which tile.

    Args:
        module: What the function becomes part of.
        spec: What it is made for.
        name: Of the function, where it is another.
    """

    def __init__(self, module: ir.Module, spec: Spec, name: str = "forward") -> None:
        self.c = c = Builder(module, name, POINTERS, INTEGERS, spec.tile.width)
        x, self.w, self.bias, hs, cs, saved, lengths, self.T, self.B, self.keep, reverse, _, n = c.arguments
        self.spec, self.steps = spec, Steps(c, self.T, reverse)
        lane = c.mul(n, spec.tile.lanes)
        self.x, self.hs, self.cs, self.lengths = (c.at(rows, lane) for rows in (x, hs, cs, lengths))
        self.saved = c.at(saved, c.mul(n, c.add(c.mul(self.T, self.keep), 1), spec.record))
        self.memories, self.bounded = (row * spec.hidden * spec.tile.lanes for row in (MEMORY_ROW, TANH_ROW))

    def emit(self) -> None:
        """Adds the function to the module."""
        c, hidden, lanes = self.c, self.spec.hidden, self.spec.tile.lanes
        initial = c.at(self.cs, c.mul(self.B, hidden))
        with c.loop(0, hidden) as u, c.loop(0, lanes, c.width) as v:
            c.store(c.load(initial, c.mul(u, self.B), v), self.saved, self.memories, c.mul(u, lanes), v)
        with c.loop(0, self.T) as step:
            self._step(step)
        last = c.at(self.saved, c.mul(self.T, self.keep, self.spec.record), self.memories)
        with c.loop(0, hidden) as u, c.loop(0, lanes, c.width) as v:
            c.store(c.load(last, c.mul(u, lanes), v), self.cs, c.mul(u, self.B), v)
        c.finish()

    def _step(self, step: ir.Value) -> None:
        c, spec, t = self.c, self.spec, self.steps.time(step)
        inputs = c.at(self.x, c.mul(t, spec.inputs, self.B))
        before = c.at(self.hs, c.mul(self.steps.before(t), spec.hidden, self.B))
        after = c.at(self.hs, c.mul(self.steps.after(t), spec.hidden, self.B))
        old, new = (c.at(self.saved, c.mul(c.add(step, i), self.keep, spec.record)) for i in (0, 1))
        with c.loop(0, spec.hidden) as u, c.groups(spec.tile) as group:
            for v, sums in zip(group, self._gate_sums(u, group, inputs, before), strict=True):
                mask = valid(c, self.lengths, v, t) if spec.masked else None
                state = self._cell(u, v, sums, old, new, mask)
                place = c.add(c.mul(u, self.B), v)
                if mask is not None:
                    state = c.b.select(mask, state, c.load(before, place))
                c.store(state, after, place)

    def _gate_sums(
        self, u: ir.Value, group: list[ir.Value], inputs: ir.Value, states: ir.Value
    ) -> list[list[ir.Value]]:
        """Returns W x + U h + b of unit u: for each vector of the group the four gates' sums."""
        c, spec = self.c, self.spec
        sums = c.variables(len(group), GATES)
        for gate in range(GATES):
            bias = c.load_repeated(self.bias, c.mul(u, GATES), gate)
            for variables in sums:
                c.set(variables[gate], bias)
        weights = c.at(self.w, c.mul(u, (spec.inputs + spec.hidden) * GATES))
        for rows, count, base in ((inputs, spec.inputs, 0), (states, spec.hidden, spec.inputs)):
            with c.loop(0, count) as k:
                row = [c.load(rows, c.mul(k, self.B), v) for v in group]
                for gate in range(GATES):
                    weight = c.load_repeated(weights, c.mul(c.add(k, base), GATES), gate)
                    for variables, value in zip(sums, row, strict=True):
                        c.accumulate(variables[gate], value, weight)
        return [[c.get(variable) for variable in variables] for variables in sums]

    def _cell(
        self, u: ir.Value, v: ir.Value, sums: list[ir.Value], old: ir.Value, new: ir.Value, mask: ir.Value | None
    ) -> ir.Value:
        """Saves gates, memory and tanh of the memory of one unit and vector, and returns the state."""
        c, lanes = self.c, self.spec.tile.lanes
        gates = quotients(c, [tanh(c, value) for value in sums])
        gates = [value if gate == CELL_GATE else logistic_of_half(c, value) for gate, value in enumerate(gates)]
        i, f, g, o = gates
        place = c.add(c.mul(u, lanes), v)
        previous = c.load(old, self.memories, place)
        memory = c.multiply_add(f, previous, c.b.fmul(i, g))
        if mask is not None:
            memory = c.b.select(mask, memory, previous)
        (bounded,) = quotients(c, [tanh(c, memory)])
        for gate, value in enumerate(gates):
            c.store(value, new, c.mul(u, GATES * lanes), gate * lanes, v)
        c.store(bounded, new, self.bounded, place)
        c.store(memory, new, self.memories, place)
        return c.b.fmul(o, bounded)
