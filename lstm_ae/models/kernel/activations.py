"""IR: tanh, from which the logistic function follows as s(x) = (1 + tanh(x / 2)) / 2.

tanh(x) = x P(x^2) / Q(x^2) within [-LIMIT, LIMIT], to within a few units of the last place; outside, tanh(LIMIT), which
is 1 in float32. Source: the coefficients of Eigen's `ptanh`, https://gitlab.com/libeigen/eigen.
"""

from llvmlite import ir

from lstm_ae.models.kernel.builder import Builder

LIMIT = 7.90531110763549805
P = (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08, -8.60467152213735e-11,
     2.00018790482477e-13, -2.76076847742355e-16)  # fmt: skip
Q = (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)


def tanh(c: Builder, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Returns the numerator and denominator of tanh, see `quotients`. NaN stays NaN."""
    high, low = c.constant(LIMIT), c.constant(-LIMIT)
    x = c.b.select(c.b.fcmp_ordered("<", high, x), high, x)
    x = c.b.select(c.b.fcmp_ordered(">", low, x), low, x)
    square = c.b.fmul(x, x)
    return c.b.fmul(_polynomial(c, P, square), x), _polynomial(c, Q, square)


def _polynomial(c: Builder, coefficients: tuple[float, ...], x: ir.Value) -> ir.Value:
    value = c.constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = c.multiply_add(value, x, c.constant(coefficient))
    return value


def quotients(c: Builder, fractions: list[tuple[ir.Value, ir.Value]]) -> list[ir.Value]:
    """Returns numerator / denominator of each fraction with one division, which costs as much as ten products.

    1 / (d_1 ... d_n) is divided once; 1 / d_n is that times d_1 ... d_n-1, and so on.
    """
    if len(fractions) == 1:
        return [c.b.fdiv(*fractions[0])]
    products = [fractions[0][1]]  # of the denominators up to each
    for _, denominator in fractions[1:]:
        products.append(c.b.fmul(products[-1], denominator))
    rest = c.b.fdiv(c.constant(1.0), products[-1])
    results = []
    for (numerator, denominator), before in zip(reversed(fractions[1:]), reversed(products[:-1]), strict=True):
        results.append(c.b.fmul(numerator, c.b.fmul(rest, before)))
        rest = c.b.fmul(rest, denominator)
    return [c.b.fmul(fractions[0][0], rest), *reversed(results)]


def logistic_of_half(c: Builder, tanh_of_half: ir.Value) -> ir.Value:
    """Returns s(x), given tanh(x / 2)."""
    half = c.constant(0.5)
    return c.multiply_add(tanh_of_half, half, half)
