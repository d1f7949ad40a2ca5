"""IR: how several threads share the tiles."""

from llvmlite import ir

from lstm_ae.models.kernel.builder import INTEGER, POINTER, Builder

HEAD = 3  # fields before the arguments


def emit_task(module: ir.Module, name: str) -> None:
    """Adds `<name>_task(fields)`, which every thread calls: it takes the next tile until none is left.

    `fields` are 64-bit integers: a counter of tiles and one of threads, both from 0, which the threads increase; the
    number of tiles; and the arguments of the function `name` except its last two, the thread and the tile.
    """
    function = module.globals[name]
    c = Builder(module, f"{name}_task", "fields", "")
    (fields,) = c.arguments
    values = []
    for position, argument in enumerate(function.args[:-2], start=HEAD):
        value = _field(c, fields, position)
        values.append(c.b.inttoptr(value, POINTER) if argument.type == POINTER else value)
    thread = c.b.atomic_rmw("add", _at(c, fields, 1), c.integer(1), "monotonic")
    tiles = _field(c, fields, 2)
    head, body, after = (c.function.append_basic_block(text) for text in ("head", "body", "after"))
    c.b.branch(head)
    c.b.position_at_end(head)
    n = c.b.atomic_rmw("add", fields, c.integer(1), "monotonic")
    c.b.cbranch(c.b.icmp_signed("<", n, tiles), body, after)
    c.b.position_at_end(body)
    c.b.call(function, [*values, thread, n])
    c.b.branch(head)
    c.b.position_at_end(after)
    c.finish()


def _at(c: Builder, fields: ir.Value, position: int) -> ir.Value:
    return c.b.gep(fields, [c.integer(position)], source_etype=INTEGER)


def _field(c: Builder, fields: ir.Value, position: int) -> ir.Value:
    return c.b.load(_at(c, fields, position), typ=INTEGER)
