"""Optimizers step, and are saved, without torch's compiler; what needs it still gets it."""

import subprocess
import sys

STEPS = """
import sys, torch
from lstm_ae.optimizers import COMPILER, without_compiler
weight = torch.nn.Parameter(torch.ones(3))
with without_compiler():
    optimizer = torch.optim.Adam([weight])
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    weight.grad = torch.ones(3)
    optimizer.step()
    scheduler.step()
    optimizer.load_state_dict(optimizer.state_dict())
assert COMPILER not in sys.modules
with without_compiler():
    import torch._dynamo
    assert torch._dynamo.config.cache_size_limit  # more than an optimizer asks for
assert sys.modules[COMPILER].__spec__, "the compiler itself"
compiled = torch.compile(torch.sin, backend="eager")
assert compiled(weight).shape == (3,)
with without_compiler():
    optimizer.step()
print(weight.tolist())
"""


def test_an_optimizer_imports_no_compiler_until_something_needs_it() -> None:
    ended = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert all(value < 1 for value in eval(ended.stdout))
