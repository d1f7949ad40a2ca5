"""A fast LSTM layer for CPUs: `LSTM` is `nn.LSTM`, computed by a kernel made for its sizes, without a C compiler.

A small LSTM does little work a step, and `nn.LSTM` spends most of its time on starting operations. Here one compiled
function takes all steps. Python writes it as LLVM's intermediate representation (IR), `llvmlite` (a wheel) compiles it
for the processor at hand, and a cache on disk keeps it.

Forward, for t = 1..T, with the logistic function s and the products of gates elementwise:

    i = s(W_i x_t + U_i h_t-1 + b_i)        input gate
    f = s(W_f x_t + U_f h_t-1 + b_f)        forget gate
    g = tanh(W_g x_t + U_g h_t-1 + b_g)     cell gate
    o = s(W_o x_t + U_o h_t-1 + b_o)        output gate
    c_t = f c_t-1 + i g                     memory
    h_t = o tanh(c_t)                       state, which is also the output

Backward, for t = T..1. dh and dc are the loss's gradients with respect to h_t and c_t; a' is that with respect to a
gate's sum, before s or tanh; y' is what the rest of the model asks of the output of step t:

    dh = dh + y'_t
    dc = dc + dh o (1 - tanh(c_t)^2)
    i' = dc g i (1 - i)      f' = dc c_t-1 f (1 - f)      g' = dc i (1 - g^2)      o' = dh tanh(c_t) o (1 - o)
    dc = dc f                                                 gradient of c_t-1
    dh = sum over gates a of U_a^T a'                         gradient of h_t-1
    dx_t = sum over gates a of W_a^T a'
    dW_a = dW_a + a' x_t^T      dU_a = dU_a + a' h_t-1^T      db_a = db_a + a'

How the work is cut. Values are stored as *rows*: one feature (or unit) of one step for all sequences of the batch,
(time, features, batch), so that one vector instruction works on several sequences. The batch is cut into *tiles* of
`Tile.lanes` sequences (the last one is filled up with zeros). A tile takes all steps before the next tile begins, so
that what a step needs stays in the first-level cache; threads take tiles. A batch that fits one vector, such as a
stream's window, is read in a tile of one vector where no gradient follows. Within a tile, products are summed in
registers: the four gates of one unit forward, a few rows of U^T backward, a few columns of W for its gradient.

Consequences. A sequence's numbers depend neither on the other sequences of the batch nor on the number of threads, and
the weights' gradients are summed over tiles in a fixed order: results are equal bit for bit from run to run. They
differ from `nn.LSTM`'s in the last digits (outputs by 7e-7, gradients by 3.3e-6 of the largest).

The modules, in the order of the data:

    layer       `LSTM`: checks whether the kernel can take a call and is faster, else calls `nn.LSTM`
    choice      when the kernel is faster
    function    the autograd function: memory, and calls of the compiled functions
    rows        tensors (batch, time, features) as rows and back
    weights     IR: PyTorch's weights in the order in which the kernel reads them, and gradients back
    forward     IR: forward for one tile
    backward    IR: backward for one tile
    activations IR: tanh
    steps       IR: the order of time, and which sequences are over
    tasks       IR: threads take tiles
    builder     IR: loops, vectors and loads in a readable form
    spec        what a kernel is made for: sizes and tiling
    processor   the processor, and whether the kernel can be used on this machine at all
    compile     from IR to functions that Python can call
    cache       compiled code on disk
    threads     calls a function on torch's threads
    notices     warnings that are logged once
"""

from lstm_ae.models.kernel.layer import LSTM, fix
from lstm_ae.models.kernel.processor import unavailable

__all__ = ["LSTM", "fix", "unavailable"]
