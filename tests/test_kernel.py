"""The LSTM kernel: its pieces against numpy, the layer against nn.LSTM, its cache, and where it steps aside."""

import copy
import ctypes
import functools
import io
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lstm_ae.models.kernel import LSTM, cache, choice, notices, processor, unavailable
from lstm_ae.models.kernel import compile as compilation
from lstm_ae.models.kernel.spec import AVX2, AVX512_LARGE, AVX512_SMALL, GATES, LANES, Spec, Tile
from tests import kernel_reference as reference
from tests.conftest import OWN_CHOICE

ROOT = Path(__file__).parents[1]
needs_kernel = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSTM_AE_KERNEL_CACHE", str(tmp_path_factory.mktemp("kernel")))
        yield


@pytest.fixture(autouse=True)
def _own_choice(pytestconfig: pytest.Config) -> Iterator[None]:
    """Undoes `--kernel`, which is for all other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LSTM, "_pays", pytestconfig.stash.get(OWN_CHOICE, LSTM._pays))
        yield


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    notices.warn_once.cache_clear()
    yield
    torch.set_num_threads(threads)


def pair(*sizes: int, **options: Any) -> tuple[LSTM, nn.LSTM]:
    """A layer that must use the kernel, and nn.LSTM with the same weights in float64."""
    torch.manual_seed(sum(sizes))
    ours, exact = LSTM(*sizes, **options), nn.LSTM(*sizes, **options).double()
    exact.load_state_dict(ours.state_dict())
    ours.kernel = True
    return ours, exact


def distance(ours: Tensor, exact: Tensor) -> float:
    """The largest difference, relative to the largest value; to 0.1 where only a few small values are compared."""
    ours, exact = ours.detach().double(), exact.detach().double()
    return float((ours - exact).abs().max() / exact.abs().max().clamp(min=0.1))


def everything(
    layer: Callable[..., Any], parameters: dict[str, nn.Parameter], x: Tensor, states: tuple[Tensor, ...] | None = None
) -> dict[str, Tensor]:
    """All answers of a layer and all gradients of a loss in which each answer has a weight of its own."""
    x = x.detach().clone().requires_grad_()
    hx = None if states is None else tuple(state.detach().clone().requires_grad_() for state in states)
    y, (h, c) = layer(x, hx)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(answer.shape, generator=generator).to(answer) for answer in (y, h, c)]
    loss = sum((answer * weight).sum() for answer, weight in zip((y, h, c), weights, strict=True))
    wanted = {"x": x, **parameters} | ({} if hx is None else {"h0": hx[0], "c0": hx[1]})
    gradients = torch.autograd.grad(loss, list(wanted.values()))
    answers = {"y": y, "h": h, "c": c}
    return {name: value.detach() for name, value in answers.items()} | {
        f"gradient of {name}": gradient for name, gradient in zip(wanted, gradients, strict=True)
    }


def results(layer: nn.LSTM, x: Tensor, states: tuple[Tensor, ...] | None = None, **options: Any) -> dict[str, Tensor]:
    return everything(lambda x, hx: layer(x, hx, **options), dict(layer.named_parameters()), x, states)


def check(ours: dict[str, Tensor], exact: dict[str, Tensor]) -> None:
    for name, value in exact.items():
        bound = 3.5e-6 if name.startswith("gradient") else 8e-7
        assert distance(ours[name], value) < bound, name


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def numpy_weights(layer: nn.LSTM) -> reference.Weights:
    w, u, b, b2 = (weight.detach().double().numpy() for weight in layer._flat_weights)
    hidden = layer.hidden_size
    return reference.Weights(
        w.reshape(GATES, hidden, -1), u.reshape(GATES, hidden, hidden), (b + b2).reshape(GATES, -1)
    )


# ---- the numpy reference itself


def test_the_reference_is_nn_lstm() -> None:
    layer = nn.LSTM(3, 4, batch_first=True).double()
    x = torch.randn(1, 6, 3, dtype=torch.float64)
    states, memories, _ = reference.forward(numpy_weights(layer), x[0].numpy(), np.zeros(4), np.zeros(4))
    y, (_, c) = layer(x)
    np.testing.assert_allclose(states[1:], y[0].detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(memories[-1], c[0, 0].detach().numpy(), atol=1e-12)


def test_the_references_gradients_are_finite_differences() -> None:
    rng = np.random.default_rng(0)
    w, u, b, x = (rng.normal(size=shape) for shape in ((4, 3, 2), (4, 3, 3), (4, 3), (5, 2)))
    h0, c0, dh, dc, gy = (rng.normal(size=shape) for shape in (3, 3, 3, 3, (5, 3)))

    def loss() -> float:
        states, memories, _ = reference.forward(reference.Weights(w, u, b), x, h0, c0)
        return float((states[1:] * gy).sum() + states[-1] @ dh + memories[-1] @ dc)

    g_x, g_h, g_c, weights = reference.backward(reference.Weights(w, u, b), x, h0, c0, gy, dh, dc)
    for values, gradient in ((x, g_x), (h0, g_h), (c0, g_c), (w, weights.w), (u, weights.u), (b, weights.b)):
        for place in np.ndindex(values.shape):
            before, change = values[place], 1e-6
            values[place] = before + change
            above = loss()
            values[place] = before - change
            below = loss()
            values[place] = before
            assert gradient[place] == pytest.approx((above - below) / (2 * change), rel=1e-5, abs=1e-7)


# ---- the pieces of the generated code


def compiled(build: Callable[[Any, Any, Any], None], *arrays: np.ndarray, integer: int = 0) -> None:
    """Builds a function of pointers and an integer, compiles it, and calls it with the arrays."""
    from llvmlite import ir

    from lstm_ae.models.kernel.builder import Builder

    module = ir.Module("test")
    names = " ".join(f"p{i}" for i in range(len(arrays)))
    c = Builder(module, "function", names, "count", width=8)
    build(c, *c.arguments)
    c.finish()
    engine = compilation.load(compilation.compile_module(module))
    kinds = [ctypes.c_void_p] * len(arrays) + [ctypes.c_int64]
    function = ctypes.CFUNCTYPE(None, *kinds)(engine.get_function_address("function"))
    function(*(array.ctypes.data for array in arrays), integer)


def aligned(values: np.ndarray | tuple[int, ...]) -> np.ndarray:
    """An array of float32 at an address that vectors need."""
    values = np.zeros(values) if isinstance(values, tuple) else values
    return torch.from_numpy(np.ascontiguousarray(values)).to(torch.float32).clone().numpy()


@needs_kernel
def test_tanh_and_the_logistic_function_are_numpys() -> None:
    from lstm_ae.models.kernel.activations import logistic_of_half, quotients, tanh

    special = np.array([0, np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-30, -1e-30])
    x = aligned(np.concatenate([special, np.linspace(-12, 12, 8000)]))
    bounded, logistic = aligned(x.shape), aligned(x.shape)

    def build(c: Any, source: Any, first: Any, second: Any, count: Any) -> None:
        with c.loop(0, count, c.width) as k:
            (value,) = quotients(c, [tanh(c, c.load(source, k))])
            c.store(value, first, k)
            c.store(logistic_of_half(c, value), second, k)

    compiled(build, x, bounded, logistic, integer=len(x))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(bounded, np.tanh(exact), rtol=5e-7, atol=0)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(logistic, reference.logistic(2 * exact), atol=2e-7)


@needs_kernel
@pytest.mark.parametrize("count", [1, 2, 4])
def test_one_division_gives_all_quotients(count: int) -> None:
    from lstm_ae.models.kernel.activations import quotients

    rng = np.random.default_rng(0)
    above, below = (aligned(rng.uniform(0.1, 5, (count, 8))) for _ in range(2))
    out = aligned((count, 8))

    def build(c: Any, above: Any, below: Any, out: Any, _: Any) -> None:
        fractions = [(c.load(above, 8 * i), c.load(below, 8 * i)) for i in range(count)]
        for i, value in enumerate(quotients(c, fractions)):
            c.store(value, out, 8 * i)

    compiled(build, above, below, out)
    np.testing.assert_allclose(out, above.astype(np.float64) / below, rtol=6e-7)


@needs_kernel
@pytest.mark.parametrize(("count", "size"), [(8, 4), (9, 4), (3, 4), (1, 1)])
def test_blocks_cover_everything_once(count: int, size: int) -> None:
    seen = aligned((8 * count,))

    def build(c: Any, seen: Any, _: Any) -> None:
        for first, length in c.blocks(count, size):
            for i in range(length):
                place = c.mul(c.add(first, i), 8)
                c.store(c.b.fadd(c.load(seen, place), c.constant(1.0)), seen, place)

    compiled(build, seen)
    assert (seen == 1).all()


@needs_kernel
def test_a_vectors_total_is_its_sum() -> None:
    x, out = aligned(np.arange(8.0)), aligned((1,))
    compiled(lambda c, x, out, _: c.store_number(c.total(c.load(x)), out), x, out)
    assert out[0] == 28


def small_kernel(masked: bool = False) -> compilation.Kernel:
    kernel = compilation.kernel_for(3, 5, masked)
    assert kernel is not None
    return kernel


@needs_kernel
def test_packed_weights_hold_each_weight_where_the_kernel_reads_it() -> None:
    kernel, rng = small_kernel(), np.random.default_rng(0)
    inputs, hidden, rows = 3, 5, kernel.spec.tile.rows
    w_ih, w_hh, b_ih, b_hh = (aligned(rng.normal(size=(20, *more))) for more in ((3,), (5,), (), ()))
    w, bias, wt = aligned((hidden, inputs + hidden, GATES)), aligned((hidden, GATES)), aligned((kernel.spec.weights,))
    kernel.pack(*(array.ctypes.data for array in (w_ih, w_hh, b_ih, b_hh, w, bias, wt)))
    half = np.array([0.5, 0.5, 1, 0.5])
    both = np.concatenate([w_ih, w_hh], 1).reshape(GATES, hidden, inputs + hidden)
    np.testing.assert_array_equal(w, both.transpose(1, 2, 0) * half)
    np.testing.assert_array_equal(bias, (b_ih + b_hh).reshape(GATES, hidden).T * half.astype(np.float32))
    place = 0
    for matrix, count in ((w_hh, hidden), (w_ih, inputs)):
        for first in range(0, count, rows):
            block = matrix.reshape(GATES, hidden, count)[:, :, first : first + rows].transpose(1, 0, 2)
            np.testing.assert_array_equal(wt[place : place + block.size], block.reshape(-1))
            place += block.size


@needs_kernel
def test_unpacked_gradients_are_the_sum_over_tiles_in_pytorchs_order() -> None:
    kernel, rng = small_kernel(), np.random.default_rng(0)
    dw = aligned(rng.normal(size=(2, 5, 9, GATES)))
    out = [aligned((20, *more)) for more in ((3,), (5,), (), ())]
    kernel.unpack(dw.ctypes.data, *(array.ctypes.data for array in out), 2)
    total = (dw[0] + dw[1]).transpose(2, 0, 1).reshape(20, 9)
    for array, wanted in zip(out, (total[:, :3], total[:, 3:8], total[:, 8], total[:, 8]), strict=True):
        np.testing.assert_array_equal(array, wanted)


@needs_kernel
def test_one_step_forward_saves_gates_memory_and_its_tanh() -> None:
    kernel, rng = small_kernel(), np.random.default_rng(0)
    inputs, hidden, lanes = 3, 5, kernel.spec.tile.lanes
    layer, _ = pair(inputs, hidden)
    packed = aligned((2 * kernel.spec.weights + GATES * hidden,))
    w = packed.ctypes.data
    wt, bias = w + 4 * kernel.spec.weights, w + 8 * kernel.spec.weights
    kernel.pack(*(weight.data_ptr() for weight in layer._flat_weights), w, bias, wt)
    x, states, memory = (
        aligned(rng.normal(size=(n, size, lanes))) for n, size in ((1, inputs), (2, hidden), (2, hidden))
    )
    saved = aligned((2, 6 * hidden, lanes))
    before = states[0].astype(np.float64), memory[1].astype(np.float64)
    kernel.run(
        "forward",
        1,
        x.ctypes.data,
        w,
        bias,
        states.ctypes.data,
        memory.ctypes.data,
        saved.ctypes.data,
        0,
        1,
        lanes,
        1,
        0,
    )
    gates = saved[1, : 4 * hidden].reshape(hidden, GATES, lanes)
    for lane in (0, 7, lanes - 1):
        h, c, wanted = reference.step(
            numpy_weights(layer), x[0, :, lane].astype(np.float64), *(s[:, lane] for s in before)
        )
        np.testing.assert_allclose(states[1, :, lane], h, atol=4e-7)
        np.testing.assert_allclose(memory[0, :, lane], c, atol=8e-7)
        np.testing.assert_allclose(gates[:, :, lane].T, wanted, atol=4e-7)
        np.testing.assert_allclose(saved[1, 4 * hidden : 5 * hidden, lane], np.tanh(c), atol=4e-7)
        np.testing.assert_allclose(saved[1, 5 * hidden :, lane], c, atol=8e-7)
        np.testing.assert_allclose(saved[0, 5 * hidden :, lane], before[1][:, lane], atol=0)


@needs_kernel
def test_backward_follows_the_equations() -> None:
    layer, _ = pair(3, 5, batch_first=True)
    x, h0, c0 = torch.randn(2, 4, 3), torch.randn(1, 2, 5), torch.randn(1, 2, 5)
    got = results(layer, x, (h0, c0))
    generator = torch.Generator().manual_seed(1)
    gy, gh, gc = (
        torch.randn(shape, generator=generator).double().numpy() for shape in ((2, 4, 5), (1, 2, 5), (1, 2, 5))
    )
    exact = [
        reference.backward(
            numpy_weights(layer), *(v.double().numpy() for v in (x[i], h0[0, i], c0[0, i])), gy[i], gh[0, i], gc[0, i]
        )
        for i in range(2)
    ]
    for i, (g_x, g_h, g_c, _) in enumerate(exact):
        for name, ours, wanted in (("x", got["gradient of x"][i], g_x), ("h0", got["gradient of h0"][0, i], g_h),
                                   ("c0", got["gradient of c0"][0, i], g_c)):  # fmt: skip
            assert distance(ours, torch.from_numpy(wanted)) < 3.5e-6, name
    weights = [sum(getattr(total, part) for *_, total in exact) for part in ("w", "u", "b")]
    for name, wanted in zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0"), weights, strict=True):
        ours = got[f"gradient of {name}"]
        assert distance(ours, torch.from_numpy(wanted).reshape(ours.shape)) < 3.5e-6, name


@needs_kernel
@pytest.mark.parametrize("hidden", [1, 6, 7])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_few_sequences_give_the_very_bits_that_they_give_in_a_full_tile(hidden, ragged, bidirectional) -> None:
    layer = LSTM(3, hidden, batch_first=True, bidirectional=bidirectional)
    layer.kernel = True
    directions = 2 if bidirectional else 1
    x, states = torch.randn(64, 9, 3), tuple(torch.randn(directions, 64, hidden) for _ in range(2))
    lengths = torch.arange(64) % 9 + 1 if ragged else None
    with torch.no_grad():
        y, (h, c) = layer(x, states, lengths)
        for few in (1, 8, 16, 17):
            own = tuple(state[:, :few].contiguous() for state in states)
            got, (last, memory) = layer(x[:few], own, None if lengths is None else lengths[:few])
            assert torch.equal(got, y[:few])
            assert torch.equal(last, h[:, :few])
            assert torch.equal(memory, c[:, :few])


@functools.cache
def kernel_with(tile: Tile) -> compilation.Kernel:
    spec = Spec(3, 7, True, tile)
    return compilation.Kernel(spec, compilation.compile_code(spec))


@needs_kernel
@pytest.mark.parametrize("tile", [AVX2, AVX512_SMALL, AVX512_LARGE], ids=["avx2", "avx512 small", "avx512 large"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward in time", "reverse"])
def test_every_tiling_computes_the_same(tile: Tile, reverse: bool) -> None:
    from lstm_ae.models.kernel.function import Recurrence

    assert tile.lanes == LANES
    assert tile.narrow.lanes == tile.width
    kernel = kernel_with(tile)
    ours, exact = pair(3, 7, batch_first=True)
    x, states, lengths = torch.randn(70, 5, 3), (torch.randn(1, 70, 7), torch.randn(1, 70, 7)), torch.arange(70) % 5 + 1

    def by_kernel(x: Tensor, hx: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, h, c = Recurrence.apply(kernel, x, *hx, *ours._flat_weights, lengths, reverse, True)
        return y, (h, c)

    def turned(x: Tensor) -> Tensor:  # each sequence the other way round
        steps = torch.arange(5)
        places = torch.where(steps < lengths[:, None], (lengths[:, None] - 1 - steps) % 5, steps)
        return x.gather(1, places[..., None].expand(x.shape))

    def by_torch(x: Tensor, hx: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        packed = pack_padded_sequence(turned(x) if reverse else x, lengths, batch_first=True, enforce_sorted=False)
        y, last = exact(packed, hx)
        y = pad_packed_sequence(y, batch_first=True, total_length=5)[0]
        return turned(y) if reverse else y, last

    got = everything(by_kernel, dict(ours.named_parameters()), x, states)
    wanted = everything(by_torch, dict(exact.named_parameters()), x.double(), tuple(s.double() for s in states))
    check(got, wanted)


# ---- the layer against nn.LSTM

SIZES = [(1, 8), (8, 1), (1, 1), (3, 5), (17, 33), (28, 64)]


@needs_kernel
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("time", [1, 2, 7])
@pytest.mark.parametrize("batch", [1, 5, 64, 130])
def test_answers_and_gradients_are_those_of_nn_lstm(sizes: tuple[int, int], time: int, batch: int) -> None:
    ours, exact = pair(*sizes, batch_first=True)
    x, states = torch.randn(batch, time, sizes[0]), (torch.randn(1, batch, sizes[1]), torch.randn(1, batch, sizes[1]))
    check(results(ours, x), results(exact, x.double()))
    check(results(ours, x, states), results(exact, x.double(), tuple(state.double() for state in states)))


@needs_kernel
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("with_lengths", [True, False])
def test_directions_lengths_and_layouts_are_those_of_nn_lstm(
    batch_first: bool, bidirectional: bool, with_lengths: bool
) -> None:
    ours, exact = pair(3, 5, batch_first=batch_first, bidirectional=bidirectional)
    batch, time, directions = 67, 9, 2 if bidirectional else 1
    x = torch.randn(batch, time, 3) if batch_first else torch.randn(time, batch, 3)
    states = (torch.randn(directions, batch, 5), torch.randn(directions, batch, 5))
    double = tuple(state.double() for state in states)
    if not with_lengths:
        check(results(ours, x, states), results(exact, x.double(), double))
        return
    lengths = torch.randint(1, time + 1, (batch,))

    def packed(x: Tensor, hx: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, last = exact(pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False), hx)
        return pad_packed_sequence(y, batch_first, total_length=time)[0], last

    wanted = everything(packed, dict(exact.named_parameters()), x.double(), double)
    check(results(ours, x, states, lengths=lengths), wanted)
    ours.kernel = False
    check(results(ours, x, states, lengths=lengths), wanted)


@needs_kernel
@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_sequence_has_the_numbers_it_has_by_itself_bit_for_bit(bidirectional: bool) -> None:
    ours, _ = pair(3, 5, batch_first=True, bidirectional=bidirectional)
    x, lengths = torch.randn(5, 9, 3), torch.tensor([9, 1, 4, 9, 6])
    for i, length in enumerate(lengths.tolist()):
        x[i, length:] = float("nan")  # has no influence
    x.requires_grad_()
    y, (h, c) = ours(x, lengths=lengths)
    (gradient,) = torch.autograd.grad(y.square().sum() + h.sum(), x)
    for i, length in enumerate(lengths.tolist()):
        alone = x[i : i + 1, :length].detach().requires_grad_()
        y1, (h1, c1) = ours(alone)
        assert torch.equal(y[i, :length], y1[0])
        assert (y[i, length:] == 0).all()
        assert torch.equal(h[:, i], h1[:, 0])
        assert torch.equal(c[:, i], c1[:, 0])
        (gradient1,) = torch.autograd.grad(y1.square().sum() + h1.sum(), alone)
        assert torch.equal(gradient[i, :length], gradient1[0])
        assert (gradient[i, length:] == 0).all()


@needs_kernel
def test_what_lies_past_a_length_reaches_no_gradient() -> None:
    ours, _ = pair(3, 5, batch_first=True)
    lengths, x = torch.tensor([2, 4]), torch.randn(2, 4, 3)
    clean = results(ours, x, lengths=lengths)
    x[0, 2:] = float("nan")
    assert same_bits(clean, results(ours, x, lengths=lengths))


@needs_kernel
def test_full_lengths_change_no_bit() -> None:
    ours, _ = pair(3, 5, batch_first=True)
    x = torch.randn(66, 4, 3)
    assert same_bits(results(ours, x), results(ours, x, lengths=torch.full((66,), 4)))


@needs_kernel
def test_bits_depend_neither_on_the_run_nor_on_threads_nor_on_the_rest_of_the_batch() -> None:
    ours, _ = pair(3, 5, batch_first=True)
    x = torch.randn(300, 11, 3)
    torch.set_num_threads(1)
    first = results(ours, x)
    assert same_bits(first, results(ours, x))
    for threads in (2, 3):
        torch.set_num_threads(threads)
        assert same_bits(first, results(ours, x))
    y, (h, c) = ours(x[100:137])
    assert torch.equal(y, first["y"][100:137])
    assert torch.equal(h, first["h"][:, 100:137])
    assert torch.equal(c, first["c"][:, 100:137])


@needs_kernel
def test_the_pool_of_threads_gives_the_bits_of_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    from lstm_ae.models.kernel import threads

    ours, _ = pair(3, 5, batch_first=True)
    x = torch.randn(300, 11, 3)
    torch.set_num_threads(2)
    first = results(ours, x)
    monkeypatch.setattr(threads, "_openmp", lambda: None)
    assert same_bits(first, results(ours, x))


@needs_kernel
def test_nan_stays_in_its_sequence_and_huge_values_stay_finite() -> None:
    ours, _ = pair(3, 5, batch_first=True)
    x = torch.randn(70, 6, 3)
    clean = ours(x)[0]
    x[3, 2, 1] = float("nan")
    y = ours(x)[0]
    assert torch.isnan(y[3, 2:]).all()
    assert torch.equal(torch.cat([y[:3], y[4:]]), torch.cat([clean[:3], clean[4:]]))
    assert torch.isfinite(ours(torch.full((2, 3, 3), 1e30))[0]).all()


@needs_kernel
def test_how_the_input_lies_in_memory_changes_nothing() -> None:
    ours, _ = pair(3, 5, batch_first=True)
    x = torch.randn(64, 7, 3)
    wanted = ours(x)[0]
    as_rows = x.permute(1, 2, 0).contiguous().permute(2, 0, 1)  # what a layer before it returns
    everywhere = torch.randn(64, 14, 6)
    everywhere[:, ::2, ::2] = x
    for same in (x.transpose(0, 1).contiguous().transpose(0, 1), as_rows, everywhere[:, ::2, ::2]):
        assert torch.equal(ours(same)[0], wanted)


@needs_kernel
@pytest.mark.parametrize("batch", [128, 200, 256])  # whole tiles, not whole, and whole with longer rows
def test_layers_in_a_row_hand_rows_on(batch: int) -> None:
    (first, exact_first), (second, exact_second) = pair(3, 5, batch_first=True), pair(5, 3, batch_first=True)
    x = torch.randn(batch, 4, 3)
    parameters, exact = (
        {f"{i}.{name}": value for i, layer in enumerate(layers) for name, value in layer.named_parameters()}
        for layers in ((first, second), (exact_first, exact_second))
    )
    got = everything(lambda x, hx: second(first(x, hx)[0]), parameters, x)
    check(got, everything(lambda x, hx: exact_second(exact_first(x, hx)[0]), exact, x.double()))


@needs_kernel
def test_neighbours_in_memory_of_a_part_of_a_batch_have_no_influence() -> None:
    ours, _ = pair(3, 5, batch_first=True)
    rows = torch.randn(7, 3, 128)
    x = rows.permute(2, 0, 1)[:100]
    wanted = results(ours, x.contiguous())
    rows[..., 100:] = float("nan")
    y = ours(x)[0]
    gradients = torch.autograd.grad(y, list(ours.parameters()), torch.ones(7, 5, 128).permute(2, 0, 1)[:100])
    assert torch.equal(y, wanted["y"])
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@needs_kernel
def test_layers_in_a_row_learn_as_nn_lstm_does() -> None:
    (first, exact_first), (second, exact_second) = pair(1, 8, batch_first=True), pair(8, 1, batch_first=True)
    x = torch.randn(128, 20, 1)
    for layers, values in (((first, second), x), ((exact_first, exact_second), x.double())):
        (layers[1](layers[0](values)[0])[0] - values).square().mean().backward()
    for ours, exact in ((first, exact_first), (second, exact_second)):
        for name, parameter in ours.named_parameters():
            assert distance(parameter.grad, exact.get_parameter(name).grad) < 3.5e-6, name


@needs_kernel
def test_answers_without_gradients_are_those_with_them() -> None:
    ours, _ = pair(3, 5, batch_first=True)
    x = torch.randn(70, 6, 3)
    y, (h, c) = ours(x)
    with torch.no_grad():
        y1, (h1, c1) = ours(x)
        assert torch.equal(y, y1)
        assert torch.equal(h, h1)
        assert torch.equal(c, c1)
        y1.zero_()  # an answer is a tensor of its own
        assert torch.equal(h, h1)
    with torch.inference_mode():
        assert torch.equal(ours(x)[0], y)


# ---- autograd's rules


@needs_kernel
def test_a_second_backward_pass_is_an_error_that_says_the_cure() -> None:
    ours, _ = pair(3, 5, batch_first=True)
    y, _ = ours(torch.randn(2, 4, 3))
    y.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match=r"backward only once.*set its `kernel` to False"):
        y.sum().backward()


@needs_kernel
def test_second_derivatives_are_an_error() -> None:
    ours, _ = pair(3, 5, batch_first=True)
    x = torch.randn(2, 4, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"no second derivatives. Set the layer's `kernel` to False"):
        torch.autograd.grad(ours(x)[0].sum(), x, create_graph=True)


@needs_kernel
def test_an_output_changed_in_place_is_noticed() -> None:
    ours, _ = pair(3, 5, batch_first=True)
    y, _ = ours(torch.randn(2, 4, 3))
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@needs_kernel
def test_frozen_parameters_get_no_gradient_and_others_do() -> None:
    ours, _ = pair(3, 5, batch_first=True)
    wanted = results(ours, torch.ones(2, 4, 3))
    ours.weight_ih_l0.requires_grad_(False)
    y, (h, c) = ours(torch.ones(2, 4, 3))
    generator = torch.Generator().manual_seed(1)
    sum((answer * torch.randn(answer.shape, generator=generator)).sum() for answer in (y, h, c)).backward()
    assert ours.weight_ih_l0.grad is None
    assert torch.equal(ours.weight_hh_l0.grad, wanted["gradient of weight_hh_l0"])


# ---- parameters


@pytest.mark.parametrize("bidirectional", [True, False])
def test_weights_go_to_nn_lstm_and_back(bidirectional: bool) -> None:
    ours, theirs = (kind(3, 5, batch_first=True, bidirectional=bidirectional) for kind in (LSTM, nn.LSTM))
    x = torch.randn(64, 6, 3)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    assert distance(ours(x)[0], theirs(x)[0]) < 1e-6
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    ours.load_state_dict(theirs.state_dict())
    assert distance(ours(x)[0], theirs(x)[0]) < 2e-6


def test_the_same_seed_gives_the_weights_of_nn_lstm() -> None:
    torch.manual_seed(0)
    ours = LSTM(3, 5)
    torch.manual_seed(0)
    theirs = nn.LSTM(3, 5)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_layer_is_copied_and_pickled_with_its_choice() -> None:
    ours = LSTM(3, 5, batch_first=True)
    ours.kernel = True
    x = torch.randn(4, 6, 3)
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert twin.kernel is True
        assert torch.equal(twin(x)[0], ours(x)[0])


# ---- the cache


def fresh(sizes: tuple[int, int] = (2, 3)) -> compilation.Kernel | None:
    """A kernel that is read or compiled anew."""
    return compilation.kernel_for.__wrapped__(*sizes, False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LSTM_AE_KERNEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Spec]:
    """What has been asked for since from a compiler that takes no time."""
    done: list[Spec] = []
    code = code_of_three_units()

    def counting(spec: Spec) -> bytes:
        done.append(spec)
        return code

    monkeypatch.setattr(compilation, "compile_code", counting)
    return done


@functools.cache
def code_of_three_units() -> bytes:
    return compilation.compile_code(Spec(2, 3, False, AVX2))


@needs_kernel
def test_a_size_is_compiled_once(folder: Path, compilations: list[Spec]) -> None:
    assert fresh() is not None
    assert fresh() is not None
    assert len(compilations) == 1
    assert len(list(folder.iterdir())) == 1


@needs_kernel
@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "no line", "garbage"])
def test_a_damaged_file_is_compiled_and_written_anew(folder: Path, compilations: list[Spec], damage: str) -> None:
    fresh()
    (file,) = folder.iterdir()
    content = file.read_bytes()
    damaged = {
        "cut": content[: len(content) // 2],
        "bit": content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
        "empty": b"",
        "no line": content.replace(b"\n", b""),
        "garbage": os.urandom(1000),
    }[damage]
    file.write_bytes(damaged)
    assert fresh() is not None
    assert len(compilations) == 2
    assert file.read_bytes().partition(b"\n")[0] == content.partition(b"\n")[0]
    fresh()
    assert len(compilations) == 2


@needs_kernel
def test_two_processes_may_fill_it_at_once(folder: Path) -> None:
    code = (
        "import torch; from lstm_ae.models.kernel import LSTM; torch.manual_seed(0); layer = LSTM(2, 3); "
        "layer.kernel = True; print(layer(torch.ones(5, 4, 2))[0].sum().item())"
    )
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT) for _ in range(2)]
    answers = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert answers[0] == answers[1] != b""
    (file,) = folder.iterdir()  # and nothing temporary
    assert cache.read(file.name) is not None


@needs_kernel
def test_a_folder_that_cannot_be_written_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, compilations: list[Spec]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LSTM_AE_KERNEL_CACHE", str(tmp_path / "file" / "cache"))
    with caplog.at_level(logging.WARNING, "lstm_ae"):
        assert fresh() is not None
        assert fresh() is not None
    assert len(compilations) == 2
    (record,) = caplog.records
    assert "cache cannot be written" in record.message
    assert "Set LSTM_AE_KERNEL_CACHE to a folder that can be written." in record.message


def test_the_folder_follows_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTM_AE_KERNEL_CACHE", "/a/b")
    assert cache.folder() == Path("/a/b")
    monkeypatch.delenv("LSTM_AE_KERNEL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache.folder() == Path("/x/lstm_ae/kernel")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache.folder() == Path("/home/somebody/.cache/lstm_ae/kernel")


@needs_kernel
def test_files_differ_by_all_that_changes_their_content(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(inputs: int = 2, masked: bool = False, tile: Tile = AVX2) -> str:
        return compilation._key(Spec(inputs, 3, masked, tile))

    keys = [key(), key(inputs=3), key(masked=True), key(tile=AVX512_SMALL)]
    with monkeypatch.context() as patch:
        patch.setattr("llvmlite.__version__", "0.47.9")
        keys.append(key())
    with monkeypatch.context() as patch:
        patch.setattr(compilation, "processor", lambda: processor.Processor("znver1", "+avx2,+fma"))
        keys.append(key())
    with monkeypatch.context() as patch:
        patch.setattr(compilation, "_sources", lambda: "others")
        keys.append(key())
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]


# ---- where it steps aside


@pytest.fixture
def kernel_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, bool]]:
    """The sizes for which layers have asked for a kernel since."""
    asked: list[tuple[int, int, bool]] = []
    kernel_for = compilation.kernel_for

    def counting(*sizes: Any) -> compilation.Kernel | None:
        asked.append(sizes)
        return kernel_for(*sizes)

    monkeypatch.setattr("lstm_ae.models.kernel.layer.kernel_for", counting)
    return asked


@needs_kernel
def test_the_choice_is_by_size_unless_one_is_made(kernel_calls: list[Any]) -> None:
    layer = LSTM(3, 5, batch_first=True)
    full, single = torch.randn(64, 6, 3), torch.randn(1, 6, 3)
    layer(full)
    assert len(kernel_calls) == 1
    layer(single)
    assert len(kernel_calls) == 1
    layer.kernel = True
    layer(single)
    assert len(kernel_calls) == 2
    layer.kernel = False
    layer(full)
    assert len(kernel_calls) == 2


def test_the_kernel_is_chosen_where_it_was_measured_to_be_faster() -> None:
    def pays(inputs: int = 1, hidden: int = 8, batch: int = 128, time: int = 50, threads: int = 1) -> bool:
        return choice.pays(inputs, hidden, batch, time, threads)

    assert pays()
    assert pays(threads=8)
    assert pays(inputs=28, hidden=64)
    assert pays(inputs=28, hidden=128)
    assert pays(batch=32)
    assert not pays(batch=31)
    assert not pays(hidden=32, batch=32)
    assert not pays(hidden=64, batch=80)
    assert not pays(hidden=64, threads=8)
    assert not pays(hidden=129)
    assert not pays(inputs=129)
    assert not pays(time=3)


UNFIT = {
    "several layers": ({"num_layers": 2}, torch.zeros(4, 6, 3), "single layer"),
    "projections": ({"proj_size": 2}, torch.zeros(4, 6, 3), "without projections"),
    "no biases": ({"bias": False}, torch.zeros(4, 6, 3), "with biases"),
    "float64": ({"dtype": torch.float64}, torch.zeros(4, 6, 3, dtype=torch.float64), "got torch.float64 on cpu"),
    "another device": ({"device": "meta"}, torch.zeros(4, 6, 3, device="meta"), "got torch.float32 on meta"),
    "one sequence without a batch": ({}, torch.zeros(6, 3), "got the shape (6, 3)"),
    "no sequence": ({}, torch.zeros(0, 6, 3), "got the shape (0, 6, 3)"),
}


@needs_kernel
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("case", UNFIT)
def test_what_the_kernel_cannot_do_nn_lstm_does_and_a_wish_is_answered_once(
    case: str, caplog: pytest.LogCaptureFixture, kernel_calls: list[Any]
) -> None:
    options, x, text = UNFIT[case]
    torch.manual_seed(0)
    ours = LSTM(3, 5, batch_first=True, **options)
    theirs = nn.LSTM(3, 5, batch_first=True, **options)
    theirs.load_state_dict(ours.state_dict())
    with caplog.at_level(logging.WARNING, "lstm_ae"):
        y = ours(x)[0]
        assert not caplog.records
        ours.kernel = True
        ours(x)
        ours(x)
    assert not kernel_calls
    assert x.device.type == "meta" or torch.equal(y, theirs(x)[0])
    (record,) = caplog.records
    assert record.message.startswith("The LSTM kernel cannot be used, nn.LSTM is used instead.")
    assert text in record.message


@needs_kernel
def test_autocast_is_left_to_nn_lstm() -> None:
    # Not called: oneDNN has no LSTM in bfloat16 for processors without AVX-512.
    layer, x = LSTM(3, 5, batch_first=True), torch.randn(64, 6, 3)
    assert choice.obstacle(layer, x, (), layer._weights()) is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "Autocast is on" in str(choice.obstacle(layer, x, (), layer._weights()))


@needs_kernel
def test_wrong_shapes_get_nn_lstms_own_errors() -> None:
    layer = LSTM(3, 5, batch_first=True)
    with pytest.raises(RuntimeError, match="Expected 3, got 4"):
        layer(torch.zeros(64, 6, 4))
    states = (torch.zeros(1, 63, 5), torch.zeros(1, 63, 5))
    with pytest.raises(RuntimeError, match="Expected hidden"):
        layer(torch.zeros(64, 6, 3), states)


@needs_kernel
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_trace_holds_nn_lstm(kernel_calls: list[Any]) -> None:
    layer = LSTM(3, 5, batch_first=True)
    x = torch.randn(64, 6, 3)
    traced = torch.jit.trace(layer, (x,), check_trace=False)
    assert not kernel_calls
    assert "aten::lstm" in str(traced.inlined_graph)
    file = io.BytesIO()
    torch.jit.save(traced, file)
    assert distance(traced(x)[0], layer(x)[0]) < 1e-6


@needs_kernel
def test_an_onnx_export_holds_nn_lstm(kernel_calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    layer = LSTM(3, 5, batch_first=True)
    layer.kernel = True
    layer(torch.randn(64, 6, 3))
    assert not kernel_calls


def test_packed_sequences_go_to_nn_lstm() -> None:
    layer = LSTM(3, 5, batch_first=True)
    x, lengths = torch.randn(4, 6, 3), torch.tensor([6, 2, 3, 1])
    packed, _ = layer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    assert distance(pad_packed_sequence(packed, batch_first=True)[0], layer(x, lengths=lengths)[0]) < 1e-6
    with pytest.raises(ValueError, match="`lengths` must be None for a PackedSequence"):
        layer(packed, lengths=lengths)


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        (torch.tensor([1, 0]), r"must lie in 1..6, the steps of the input, got 0..1. Leave empty sequences out"),
        (torch.tensor([7, 1]), r"must lie in 1..6, the steps of the input, got 1..7"),
        (torch.tensor([1]), r"must be 2 integers, one a sequence, got torch.int64 of shape \(1,\)"),
        (torch.tensor([1.0, 2.0]), r"must be 2 integers, one a sequence, got torch.float32"),
    ],
)
def test_lengths_that_do_not_fit_are_an_error(lengths: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        LSTM(3, 5, batch_first=True)(torch.zeros(2, 6, 3), lengths=lengths)
    with pytest.raises(ValueError, match=text):
        LSTM(3, 5)(torch.zeros(6, 2, 3), lengths=lengths)


# ---- machines on which it cannot be used


@pytest.fixture
def machine() -> Iterator[None]:
    """Asks about the machine anew, in the test and after it."""
    for cached in (processor.unavailable, processor.processor):
        cached.cache_clear()
    yield
    for cached in (processor.unavailable, processor.processor):
        cached.cache_clear()


def used_with(caplog: pytest.LogCaptureFixture, kernel: bool | None) -> str:
    """Calls a layer twice, which must give nn.LSTM's answers, and returns what is logged."""
    torch.manual_seed(0)
    ours, theirs = LSTM(3, 5, batch_first=True), nn.LSTM(3, 5, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    ours.kernel = kernel
    x = torch.randn(64, 6, 3)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "lstm_ae"):
        assert torch.equal(ours(x)[0], theirs(x)[0])
        ours(x)
    assert len(caplog.records) <= 1
    return "".join(record.message for record in caplog.records)


def test_without_llvmlite_nn_lstm_is_used(
    machine: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    assert used_with(caplog, None) == ""
    assert "llvmlite is not installed. Install it with `pip install 'lstm_ae[fast]'`." in used_with(caplog, True)


@needs_kernel
@pytest.mark.parametrize("version", ["0.45.1", "0.99.0", "1.0", "unknown"])
def test_an_untested_llvmlite_is_not_used_and_said_so(
    machine: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    monkeypatch.setattr("llvmlite.__version__", version)
    assert f"llvmlite {version} is untested. Install a version from 0.46 to 0.50." in used_with(caplog, None)
    notices.warn_once.cache_clear()
    assert "untested" in used_with(caplog, True)
    assert used_with(caplog, False) == ""


@needs_kernel
@pytest.mark.parametrize("name", ["generic", ""])
def test_a_processor_that_llvm_does_not_know_is_left_to_nn_lstm(
    machine: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: name)
    assert "LLVM does not know this processor." in used_with(caplog, None)


@needs_kernel
def test_a_processor_without_known_features_is_left_to_nn_lstm(
    machine: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("failed to get host cpu features.")

    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", fail)
    assert "LLVM does not know this processor (failed to get host cpu features.)." in used_with(caplog, None)


@needs_kernel
def test_a_processor_without_avx2_is_left_to_nn_lstm(
    machine: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(processor, "processor", lambda: processor.Processor("nehalem", "+sse4.2,-avx2"))
    assert "The processor `nehalem` has no AVX2 with FMA" in used_with(caplog, None)


@needs_kernel
def test_code_that_llvm_cannot_compile_is_left_to_nn_lstm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, folder: Path
) -> None:
    def fail(spec: Spec) -> bytes:
        raise RuntimeError("LLVM is out of sorts")

    compilation.kernel_for.cache_clear()
    monkeypatch.setattr(compilation, "compile_code", fail)
    assert "cannot be compiled (LLVM is out of sorts): nn.LSTM is used instead." in used_with(caplog, None)
    compilation.kernel_for.cache_clear()


@needs_kernel
def test_avx512_is_left_out_where_the_variable_says_so(machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Features(dict[str, bool]):
        def flatten(self) -> str:
            return ",".join(f"{'+' if here else '-'}{name}" for name, here in self.items())

    full = {"avx2": True, "fma": True, "avx512f": True, "avx512vl": True, "prefer-256-bit": True}
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: Features(full))
    here = processor.processor()
    assert here.tile(8) == AVX512_SMALL
    assert here.tile(64) == AVX512_LARGE
    assert "-prefer-256-bit" in here.features
    processor.processor.cache_clear()
    monkeypatch.setenv("LSTM_AE_KERNEL_ISA", "avx2")
    here = processor.processor()
    assert here.tile(8) == here.tile(64) == AVX2
    assert "-avx512f,-avx512vl" in here.features
    monkeypatch.setenv("LSTM_AE_KERNEL_ISA", "sse")
    assert processor.unavailable() == "LSTM_AE_KERNEL_ISA must be `avx2` or unset, got `sse`."
