"""IR: which time a step has, in both directions, and which sequences are not yet over."""

from llvmlite import ir

from lstm_ae.models.kernel.builder import FLOAT, Builder, Integer


class Steps:
    """The order of time. Reverse, step 0 is the last time; states[t + 1] is then before t, and states[t] after.

    Args:
        c: The function under construction.
        count: The number of steps, T.
        reverse: 1 or 0.
    """

    def __init__(self, c: Builder, count: ir.Value, reverse: ir.Value) -> None:
        self._c, self._reverse = c, reverse
        self._first = c.mul(reverse, c.add(count, -1))
        self._sign = c.sub(1, c.mul(reverse, 2))

    def time(self, step: Integer) -> ir.Value:
        """Returns the time of a step."""
        return self._c.add(self._first, self._c.mul(self._sign, step))

    def before(self, time: ir.Value) -> ir.Value:
        """Returns the place of the state that a time starts from, among T + 1 states."""
        return self._c.add(time, self._reverse)

    def after(self, time: ir.Value) -> ir.Value:
        """Returns the place of the state that a time leads to."""
        return self._c.sub(self._c.add(time, 1), self._reverse)


def valid(c: Builder, lengths: ir.Value, v: ir.Value, time: ir.Value) -> ir.Value:
    """Returns for each sequence of the vector at `v` of the tile whether `time` lies within its length."""
    return c.b.fcmp_ordered("<", c.repeat(c.b.sitofp(time, FLOAT)), c.load(lengths, v))
