"""LLVM's IR builder with loops, vectors and variables, so that the functions of the kernel read as loops over arrays.

All integers are 64 bits, all numbers float32, and an offset counts float32 numbers, not bytes.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from llvmlite import ir

from lstm_ae.models.kernel.spec import Tile

FLOAT, INTEGER, POINTER = ir.FloatType(), ir.IntType(64), ir.PointerType()
Integer: TypeAlias = int | ir.Value


class Builder:
    """A function under construction.

    Args:
        module: What the function becomes part of.
        name: Of the function.
        pointers: Names of its first arguments, separated by spaces. No two of them overlap in memory.
        integers: Names of its other arguments.
        width: Numbers in a vector.

    Attributes:
        arguments: The values of all arguments, in order.
        b: LLVM's own builder, at the place where the next instruction goes.
        vector: The type of a vector.
    """

    def __init__(self, module: ir.Module, name: str, pointers: str, integers: str, width: int = 1) -> None:
        self.module, self.width, self.vector = module, width, ir.VectorType(FLOAT, width)
        names = pointers.split() + integers.split()
        kinds = [POINTER] * len(pointers.split()) + [INTEGER] * len(integers.split())
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        for argument, text in zip(self.function.args, names, strict=True):
            argument.name = text
            if argument.type == POINTER:
                argument.add_attribute("noalias")
        self.arguments = list(self.function.args)
        # Variables go into a block of their own at the start, where LLVM turns them into registers.
        self.entry = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.body = self.function.append_basic_block("body")
        self.b = ir.IRBuilder(self.body)

    def finish(self) -> None:
        """Ends the function."""
        self.b.ret_void()
        self.entry.branch(self.body)

    # Integers and loops

    def integer(self, value: Integer) -> ir.Value:
        """Returns a Python integer as a constant, and a value as it is."""
        return ir.Constant(INTEGER, value) if isinstance(value, int) else value

    def add(self, *terms: Integer) -> ir.Value:
        """Returns the sum of integers, 0 without any."""
        values = [self.integer(term) for term in terms or (0,)]
        return functools.reduce(lambda a, c: self.b.add(a, c, flags=["nsw"]), values)

    def mul(self, *factors: Integer) -> ir.Value:
        """Returns the product of integers."""
        values = [self.integer(factor) for factor in factors]
        return functools.reduce(lambda a, c: self.b.mul(a, c, flags=["nsw"]), values)

    def sub(self, a: Integer, c: Integer) -> ir.Value:
        """Returns a - c of integers."""
        return self.b.sub(self.integer(a), self.integer(c), flags=["nsw"])

    @contextmanager
    def loop(self, begin: Integer, end: Integer, step: int = 1) -> Iterator[ir.Value]:
        """Repeats what is built inside for begin, begin + step, ... up to, and without, `end` (down, for step < 0)."""
        index = self.entry.alloca(INTEGER)
        self.b.store(self.integer(begin), index)
        head, body, after = (self.function.append_basic_block(name) for name in ("head", "body", "after"))
        self.b.branch(head)
        self.b.position_at_end(head)
        now = self.b.load(index, typ=INTEGER)
        self.b.cbranch(self.b.icmp_signed("<" if step > 0 else ">", now, self.integer(end)), body, after)
        self.b.position_at_end(body)
        yield now
        self.b.store(self.add(now, step), index)
        self.b.branch(head)
        self.b.position_at_end(after)

    @contextmanager
    def groups(self, tile: Tile) -> Iterator[list[ir.Value]]:
        """Repeats what is built inside for each group of a row's vectors; yields where they begin within the row."""
        with self.loop(0, tile.lanes, tile.group * tile.width) as first:
            yield [self.add(first, v * tile.width) for v in range(tile.group)]

    def blocks(self, count: int, size: int) -> Iterator[tuple[ir.Value, int]]:
        """Cuts `count` into blocks of `size`, which are a loop, and a remainder; yields the first and how many."""
        whole = count // size * size
        if whole:
            with self.loop(0, whole, size) as first:
                yield first, size
        if count > whole:
            yield self.integer(whole), count - whole

    # Memory

    def at(self, pointer: ir.Value, *offset: Integer) -> ir.Value:
        """Returns the address of the number at the sum of the offsets."""
        return self.b.gep(pointer, [self.add(*offset)], inbounds=True, source_etype=FLOAT)

    def load(self, pointer: ir.Value, *offset: Integer) -> ir.Value:
        """Returns the vector at an offset; its address must be a multiple of a vector's bytes."""
        return self.b.load(self.at(pointer, *offset), typ=self.vector, align=4 * self.width)

    def store(self, value: ir.Value, pointer: ir.Value, *offset: Integer) -> None:
        """Writes a vector; its address must be a multiple of a vector's bytes."""
        self.b.store(value, self.at(pointer, *offset), align=4 * self.width)

    def load_number(self, pointer: ir.Value, *offset: Integer) -> ir.Value:
        """Returns one number."""
        return self.b.load(self.at(pointer, *offset), typ=FLOAT, align=4)

    def store_number(self, value: ir.Value, pointer: ir.Value, *offset: Integer) -> None:
        """Writes one number."""
        self.b.store(value, self.at(pointer, *offset), align=4)

    # Vectors

    def constant(self, value: float) -> ir.Value:
        """Returns a vector of equal constants."""
        return ir.Constant(self.vector, [value] * self.width)

    def repeat(self, number: ir.Value) -> ir.Value:
        """Returns a vector of equal numbers."""
        nothing, i32 = ir.Constant(self.vector, ir.Undefined), ir.IntType(32)
        first = self.b.insert_element(nothing, number, ir.Constant(i32, 0))
        return self.b.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(i32, self.width), [0] * self.width))

    def load_repeated(self, pointer: ir.Value, *offset: Integer) -> ir.Value:
        """Returns a vector of which every element is the same number in memory."""
        return self.repeat(self.load_number(pointer, *offset))

    def product(self, *factors: ir.Value) -> ir.Value:
        """Returns the elementwise product."""
        return functools.reduce(self.b.fmul, factors)

    def multiply_add(self, a: ir.Value, c: ir.Value, plus: ir.Value) -> ir.Value:
        """Returns a c + plus, rounded once."""
        return self.b.call(self._intrinsic("fma", self.vector, [self.vector] * 3), [a, c, plus])

    def one_minus(self, a: ir.Value) -> ir.Value:
        """Returns 1 - a."""
        return self.b.fsub(self.constant(1.0), a)

    def total(self, a: ir.Value) -> ir.Value:
        """Returns the sum of a vector's elements; the order of the sum is fixed when the code is compiled."""
        reduce = self._intrinsic("vector.reduce.fadd", FLOAT, [FLOAT, self.vector])
        return self.b.call(reduce, [ir.Constant(FLOAT, 0.0), a], fastmath=("reassoc",))

    def _intrinsic(self, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
        name = f"llvm.{name}.v{self.width}f32"
        known = self.module.globals.get(name)
        return known or ir.Function(self.module, ir.FunctionType(result, arguments), name)

    # Variables: vectors that change, kept in registers

    def variables(self, first: int, second: int) -> list[list[ir.Value]]:
        """Returns first x second variables without a value."""
        return [[self.entry.alloca(self.vector) for _ in range(second)] for _ in range(first)]

    def get(self, variable: ir.Value) -> ir.Value:
        """Returns the value of a variable."""
        return self.b.load(variable, typ=self.vector)

    def set(self, variable: ir.Value, value: ir.Value) -> None:
        """Changes a variable."""
        self.b.store(value, variable)

    def accumulate(self, variable: ir.Value, a: ir.Value, c: ir.Value) -> None:
        """Adds a c to a variable."""
        self.set(variable, self.multiply_add(a, c, self.get(variable)))
