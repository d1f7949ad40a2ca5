"""What a kernel is made for: the sizes of a layer and how the work is cut."""

from dataclasses import dataclass, replace

GATES = 4  # input, forget, cell, output: PyTorch's order
CELL_GATE = 2  # the one with tanh; the others have the logistic function
TANH_ROW, MEMORY_ROW = GATES, GATES + 1  # what a step saves after its gates, `hidden` rows each
LANES = 64  # sequences in a tile, for every processor
SAVED = GATES + 2  # rows that a step saves for each unit: gates, tanh of the memory, memory


@dataclass(frozen=True)
class Tile:
    """How the work is cut, so that what is summed at once fits the vector registers.

    Attributes:
        width: float32 numbers in a vector register.
        vectors: Vectors in a row of a tile.
        group: Vectors of a row that are summed at once in products with the weights; a divisor of `vectors`.
        rows: Rows of a product with the transposed weights that are summed at once.
        columns: Columns of the weights' gradient that are summed at once, for the four gates of a unit.
        steps: Time steps after which the weights' gradient is updated, while their values are still in the cache.
    """

    width: int
    vectors: int
    group: int
    rows: int
    columns: int
    steps: int

    @property
    def lanes(self) -> int:
        """Sequences in a tile."""
        return self.width * self.vectors

    @property
    def narrow(self) -> "Tile":
        """A tile of one vector, for a batch that is no larger, such as one window of a stream."""
        return replace(self, vectors=1, group=1)


# The fastest of those tried. A row of a tile must have 128 bytes or more: the rows of a batch of 128 lie 512 bytes
# apart and would otherwise compete for the same few lines of the cache.
AVX2 = Tile(width=8, vectors=8, group=2, rows=4, columns=2, steps=2)  # on a Zen 3: 16 registers
AVX512_SMALL = Tile(width=16, vectors=4, group=4, rows=4, columns=4, steps=4)  # on a Zen 4: 32 registers
AVX512_LARGE = Tile(width=16, vectors=4, group=4, rows=5, columns=5, steps=4)  # above 32 units


@dataclass(frozen=True)
class Spec:
    """The sizes that are constants in the compiled code.

    Attributes:
        inputs: Features of a step.
        hidden: Units.
        masked: Whether sequences have different lengths.
        tile: How the work is cut.
    """

    inputs: int
    hidden: int
    masked: bool
    tile: Tile

    @property
    def columns(self) -> int:
        """Columns of the weights' gradient: of inputs, states and bias."""
        return self.inputs + self.hidden + 1

    @property
    def record(self) -> int:
        """Numbers that a tile saves in one step."""
        return SAVED * self.hidden * self.tile.lanes

    @property
    def weights(self) -> int:
        """Numbers in the weights without biases."""
        return GATES * self.hidden * (self.inputs + self.hidden)

    @property
    def gradient(self) -> int:
        """Numbers in the gradient of weights and bias."""
        return GATES * self.hidden * self.columns
