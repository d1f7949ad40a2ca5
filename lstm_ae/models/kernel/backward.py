"""IR: the backward pass of one tile through all steps, from the last to the first."""

from llvmlite import ir

from lstm_ae.models.kernel.builder import Builder
from lstm_ae.models.kernel.spec import GATES, MEMORY_ROW, TANH_ROW, Spec
from lstm_ae.models.kernel.steps import Steps, valid

POINTERS, INTEGERS = "x wt hs saved gy dx dh dc dw sums lengths", "T B reverse dx_wanted thread n"


class Backward:
    """The function `backward`, whose arguments are `POINTERS` and `INTEGERS`, with B as in `Forward`.

    Those that `Forward` does not have, or has otherwise:

    - wt: the transposed weights in blocks of `tile.rows` rows, first those of the states, then those of the inputs.
    - saved: as forward left it; each step's gates become their gradients.
    - gy (T, hidden, B): the outputs' gradient, y' of the equations.
    - dx (T, inputs, B): the inputs' gradient, written where dx_wanted is 1; else it is 0.
    - dh, dc (hidden, B): in, the gradients of the last state and memory; out, of the initial ones.
    - dw (tiles, hidden, inputs + hidden + 1, 4): each tile's gradient of the weights; the last column is the bias's.
    - sums (threads, hidden, inputs + hidden + 1, 4, width): room for `dw` before it is summed over a vector's elements.

    A sequence that is over has gates' gradients of zero, and its dh and dc pass unchanged.

    Args:
        module: What the function becomes part of.
        spec: What it is made for.
    """

    def __init__(self, module: ir.Module, spec: Spec) -> None:
        self.c = c = Builder(module, "backward", POINTERS, INTEGERS, spec.tile.width)
        x, self.wt, hs, saved, gy, dx, dh, dc, dw, sums, lengths, self.T, self.B, reverse, dx_wanted, thread, n = (
            c.arguments
        )
        self.spec, self.steps, self.dx_wanted = spec, Steps(c, self.T, reverse), dx_wanted
        lane = c.mul(n, spec.tile.lanes)
        tile_rows = (c.at(rows, lane) for rows in (x, hs, gy, dx, dh, dc, lengths))
        self.x, self.hs, self.gy, self.dx, self.dh, self.dc, self.lengths = tile_rows
        self.saved = c.at(saved, c.mul(n, c.add(self.T, 1), spec.record))
        self.dw, self.sums = c.at(dw, c.mul(n, spec.gradient)), c.at(sums, c.mul(thread, spec.gradient, c.width))

    def emit(self) -> None:
        """Adds the function to the module."""
        c, spec = self.c, self.spec
        with c.loop(0, spec.gradient) as j:
            c.store(c.constant(0.0), self.sums, c.mul(j, c.width))
        with c.loop(self.T, 0, -spec.tile.steps) as end:
            begin = c.sub(end, spec.tile.steps)
            begin = c.b.select(c.b.icmp_signed(">", begin, c.integer(0)), begin, c.integer(0))
            with c.loop(c.sub(end, 1), c.sub(begin, 1), -1) as step:
                self._step(step)
            with c.loop(0, spec.hidden) as u:
                self._unit_weights(u, begin, end)
        with c.loop(0, spec.gradient) as j:
            c.store_number(c.total(c.load(self.sums, c.mul(j, c.width))), self.dw, j)
        c.finish()

    def _step(self, step: ir.Value) -> None:
        c, hidden, inputs = self.c, self.spec.hidden, self.spec.inputs
        t = self.steps.time(step)
        old, new = (c.at(self.saved, c.mul(c.add(step, i), self.spec.record)) for i in (0, 1))
        outputs = c.at(self.gy, c.mul(t, hidden, self.B))
        with c.loop(0, hidden) as u, c.loop(0, self.spec.tile.lanes, c.width) as v:
            self._gate_gradients(u, v, old, new, outputs, t)
        self._transposed_product(new, self.wt, hidden, self.dh, t if self.spec.masked else None)
        with c.b.if_then(c.b.icmp_signed("!=", self.dx_wanted, c.integer(0))):
            dx = c.at(self.dx, c.mul(t, inputs, self.B))
            self._transposed_product(new, c.at(self.wt, GATES * hidden * hidden), inputs, dx, None)

    def _gate_gradients(
        self, u: ir.Value, v: ir.Value, old: ir.Value, new: ir.Value, outputs: ir.Value, t: ir.Value
    ) -> None:
        """Replaces the gates of one unit and vector by their gradients, and dc by that of the memory before."""
        c, hidden, lanes = self.c, self.spec.hidden, self.spec.tile.lanes
        place, unit = c.add(c.mul(u, lanes), v), c.add(c.mul(u, self.B), v)
        places = [c.add(c.mul(u, GATES * lanes), gate * lanes, v) for gate in range(GATES)]
        i, f, g, o = (c.load(new, gate) for gate in places)
        bounded = c.load(new, TANH_ROW * hidden * lanes, place)
        previous = c.load(old, MEMORY_ROW * hidden * lanes, place)
        memory_before = c.load(self.dc, unit)
        through = c.b.fmul(c.b.fadd(c.load(self.dh, unit), c.load(outputs, unit)), o)  # dh o
        memory = c.multiply_add(through, c.one_minus(c.b.fmul(bounded, bounded)), memory_before)
        by_i, by_f = c.b.fmul(memory, i), c.b.fmul(memory, f)
        gradients = [
            c.product(by_i, g, c.one_minus(i)),
            c.product(by_f, c.one_minus(f), previous),
            c.b.fmul(by_i, c.one_minus(c.b.fmul(g, g))),
            c.product(through, bounded, c.one_minus(o)),
        ]
        if self.spec.masked:
            mask = valid(c, self.lengths, v, t)
            gradients = [c.b.select(mask, gradient, c.constant(0.0)) for gradient in gradients]
            by_f = c.b.select(mask, by_f, memory_before)
        for gradient, gate in zip(gradients, places, strict=True):
            c.store(gradient, new, gate)
        c.store(by_f, self.dc, unit)

    def _transposed_product(
        self, gates: ir.Value, weights: ir.Value, count: int, target: ir.Value, kept_from: ir.Value | None
    ) -> None:
        """Writes the product of the transposed weights and the gates' gradients into the rows of `target`.

        Where `kept_from` gives the time, the rows of sequences that are over at that time stay as they are.
        """
        c, spec = self.c, self.spec
        for first, length in c.blocks(count, spec.tile.rows):
            block = c.at(weights, c.mul(first, GATES * spec.hidden))
            with c.groups(spec.tile) as group:
                places = [[c.add(c.mul(c.add(first, r), self.B), v) for v in group] for r in range(length)]
                sums = c.variables(length, len(group))
                for column, v in enumerate(group):
                    for r in range(length):
                        start = c.constant(0.0)
                        if kept_from is not None:
                            mask = valid(c, self.lengths, v, kept_from)
                            start = c.b.select(mask, start, c.load(target, places[r][column]))
                        c.set(sums[r][column], start)
                with c.loop(0, GATES * spec.hidden) as j:
                    row = [c.load(gates, c.mul(j, spec.tile.lanes), v) for v in group]
                    for r in range(length):
                        weight = c.load_repeated(block, c.mul(j, length), r)
                        for variable, value in zip(sums[r], row, strict=True):
                            c.accumulate(variable, value, weight)
                for r in range(length):
                    for variable, place in zip(sums[r], places[r], strict=True):
                        c.store(c.get(variable), target, place)

    def _unit_weights(self, u: ir.Value, begin: ir.Value, end: ir.Value) -> None:
        """Adds what the steps from begin to end contribute to the gradient of one unit's weights and bias."""
        c, spec = self.c, self.spec
        gates = c.at(self.saved, c.mul(u, GATES * spec.tile.lanes))
        sums = c.at(self.sums, c.mul(u, spec.columns * GATES * c.width))
        for source, count, base in ((self.x, spec.inputs, 0), (self.hs, spec.hidden, spec.inputs)):
            for first, length in c.blocks(count, spec.tile.columns):
                block = c.at(sums, c.mul(c.add(first, base), GATES * c.width))
                self._columns(gates, block, source, count, first, length, begin, end)
        self._bias(gates, c.at(sums, (spec.columns - 1) * GATES * c.width), begin, end)

    def _columns(
        self,
        gates: ir.Value,
        block: ir.Value,
        source: ir.Value,
        count: int,
        first: ir.Value,
        length: int,
        begin: ir.Value,
        end: ir.Value,
    ) -> None:
        """Adds a' x^T (or a' h^T) of one unit's gates a and `length` rows of inputs (or states), from `first` on."""
        c, tile = self.c, self.spec.tile
        places = [[(j * GATES + gate) * c.width for gate in range(GATES)] for j in range(length)]
        sums = c.variables(length, GATES)
        for j in range(length):
            for gate in range(GATES):
                c.set(sums[j][gate], c.load(block, places[j][gate]))
        with c.loop(begin, end) as step:
            time = self.steps.time(step)
            time = time if source is self.x else self.steps.before(time)
            now = c.at(gates, c.mul(c.add(step, 1), self.spec.record))
            rows = c.at(source, c.mul(c.add(c.mul(time, count), first), self.B))
            with c.loop(0, tile.lanes, c.width) as v:
                gradients = [c.load(now, gate * tile.lanes, v) for gate in range(GATES)]
                for j in range(length):
                    value = c.load(rows, c.mul(self.B, j), v)
                    for gate in range(GATES):
                        c.accumulate(sums[j][gate], value, gradients[gate])
        for j in range(length):
            for gate in range(GATES):
                c.store(c.get(sums[j][gate]), block, places[j][gate])

    def _bias(self, gates: ir.Value, block: ir.Value, begin: ir.Value, end: ir.Value) -> None:
        """Adds a' of one unit's gates a."""
        c, tile = self.c, self.spec.tile
        (sums,) = c.variables(1, GATES)
        for gate in range(GATES):
            c.set(sums[gate], c.load(block, gate * c.width))
        with c.loop(begin, end) as step:
            now = c.at(gates, c.mul(c.add(step, 1), self.spec.record))
            with c.loop(0, tile.lanes, c.width) as v:
                for gate in range(GATES):
                    c.set(sums[gate], c.b.fadd(c.get(sums[gate]), c.load(now, gate * tile.lanes, v)))
        for gate in range(GATES):
            c.store(c.get(sums[gate]), block, gate * c.width)
