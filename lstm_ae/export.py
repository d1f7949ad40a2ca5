"""Exports a trained model as one ONNX file that holds its scaler, model and schema; it runs without torch.

python -m lstm_ae.export RUN --output model.onnx

The file reads `x` (batch, time, features) in the data's own units, and gives what the model has of: `latent`,
`reconstruction`, `prediction`, `probabilities` (of classes), and `errors` (the task's: their sum is a score).
Its metadata hold `schema` as JSON. The axes `batch` and `time` are free unless the command says otherwise.
"""

import contextlib
import io
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lstm_ae.files import replacing
from lstm_ae.trained import Trained
from lstm_ae.trained.files import loaded, parser, reported

FORMAT = 1
OPSET = 17
INITIAL_STATES = (5, 7)  # places of an LSTM node's inputs
TOLERANCE = 1e-5  # of the largest output, beyond which an export is refused


class Graph(nn.Module):
    """A trained model as a function of values in their own units.

    Args:
        trained: The model.
        series: Whose scaler is used, where each series has its own; None: the pooled one.
    """

    def __init__(self, trained: Trained, series: str | None = None) -> None:
        super().__init__()
        self.model = trained.model
        self.trained, self._series = trained, series
        self.names: tuple[str, ...] = ()
        self.has_errors = True

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns what the model has of the outputs, in the order of `names`."""
        trained = self.trained
        scaled = trained.schema.scaler.batch(x, series=self._series)
        output = trained.output(scaled.batch)
        made: dict[str, Tensor | None] = {"latent": output.latent}
        if output.reconstruction is not None:
            made["reconstruction"] = scaled.unscaled(output.reconstruction)
        if output.prediction is not None and "classes" in trained.produces:
            made["probabilities"] = output.prediction.softmax(dim=1)
        elif output.prediction is not None:
            made["prediction"] = scaled.unscaled(output.prediction)
        if self.has_errors:
            batch = trained.task.prepare(scaled.batch, training=False)
            alike = batch.inputs is scaled.batch.inputs
            errors = trained.task.errors(batch, output if alike else trained.output(batch))
            made["errors"] = trained.over_usual(batch, errors)
        self.names = tuple(name for name, value in made.items() if value is not None)
        return tuple(value for value in made.values() if value is not None)


def export(trained: Trained, path: Path, series: str | None = None) -> dict[str, Any]:
    """Writes an ONNX file, and returns its schema.

    Args:
        trained: The model.
        path: Of the file.
        series: Whose scaler is used, where each series has its own; None: the pooled one.

    Raises:
        ValueError: onnx or onnxruntime is not installed, or the model cannot be exported as it is.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ValueError(f"`export` needs onnx and onnxruntime: {error}. Install lstm_ae[export].") from None
    schema = trained.schema
    if schema.missing == "mask" and schema.scaler.method == "relative":
        raise ValueError("A model with scaling=relative and missing=mask cannot be exported: use another scaling.")
    graph, time = Graph(trained, series).eval(), schema.window or schema.length
    try:
        content, free = _traced(graph, time)
    except (RuntimeError, ValueError):  # errors that need labels, or that draw noise, which ONNX cannot
        graph.has_errors = False
        content, free = _traced(graph, time)
    described = _schema(trained, graph, None if free else time)
    model = onnx.load_from_string(content)
    _leave_out_zero_states(model.graph)
    onnx.helper.set_model_props(model, {"schema": json.dumps(described)})
    written = model.SerializeToString()
    _compare(graph, onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"]), trained, time, free)
    with replacing(path) as temporary:
        temporary.write_bytes(written)
    return described


def _leave_out_zero_states(graph: Any) -> None:
    """Removes the zeros that layers begin with, which are ONNX's default, and the nodes that then serve nothing.

    The time of one window is mostly that of calling small nodes: a fifth of them make these zeros.
    """
    from onnx import numpy_helper

    by_output = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        for place in range(*INITIAL_STATES) if node.op_type == "LSTM" else ():
            source = by_output.get(node.input[place]) if place < len(node.input) else None
            if source is not None and source.op_type == "ConstantOfShape":
                filling = [numpy_helper.to_array(one.t) for one in source.attribute]
                if not any(one.any() for one in filling):
                    node.input[place] = ""
    while True:
        used = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
        idle = [node for node in graph.node if not used & set(node.output)]
        if not idle:
            return
        for node in idle:
            graph.node.remove(node)


def _example(trained: Trained, count: int, time: int) -> Tensor:
    """Returns values such as training showed, with a missing one where the model knows of them."""
    drawn = np.random.default_rng(0).normal(0, 1, (count, time, len(trained.schema.feature_names)))
    relative = trained.schema.scaler.method == "relative"
    scale = 1.0 if relative else trained.schema.scaler.stored["scale"]
    shift = 20.0 if relative else trained.schema.scaler.stored["shift"]
    values = (drawn * scale + shift).astype(np.float32)
    if trained.schema.missing == "mask":
        values[0, time // 2, 0] = np.nan
    return torch.from_numpy(values)


@torch.no_grad()
def _traced(graph: Graph, time: int) -> tuple[bytes, bool]:
    """Returns a graph as ONNX, and whether its time axis is free."""
    example = _example(graph.trained, 2, time)
    graph(example)  # now it knows the names of its outputs
    free = _time_is_free(graph, time)
    axes = {"x": {0: "batch", 1: "time"} if free else {0: "batch"}} | {name: {0: "batch"} for name in graph.names}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of what tracing fixes: the number of features, of layers
        path = Path(folder) / "model.onnx"
        torch.onnx.export(graph, (example,), path, dynamo=False, opset_version=OPSET, input_names=["x"],
            output_names=list(graph.names), dynamic_axes=axes)  # fmt: skip
        return path.read_bytes(), free


@torch.no_grad()
def _time_is_free(graph: Graph, time: int) -> bool:
    """Returns whether the model reads sequences of another length."""
    try:
        graph(_example(graph.trained, 2, time + 1))
    except RuntimeError:
        return False
    return True


def _schema(trained: Trained, graph: Graph, time: int | None) -> dict[str, Any]:
    schema = trained.schema
    return {
        "format": FORMAT,
        "features": list(schema.feature_names),
        "unit": schema.unit,
        "classes": list(schema.classes),
        "scaling": schema.scaler.method,
        "missing": schema.missing,
        "window": schema.window,
        "reads": trained.reads,
        "time": time,
        "produces": sorted(trained.produces),
        "outputs": list(graph.names),
        "task": type(trained.task).__name__,
        **({"threshold": trained.threshold()} if "threshold" in trained.fitted else {}),
    }


@torch.no_grad()
def _compare(graph: Graph, session: Any, trained: Trained, time: int, free: bool) -> None:
    """Refuses an export that does not give what torch gives, for another batch and another time axis."""
    example = _example(trained, 3, time + 3 if free else time)
    for name, expected, found in zip(
        graph.names, graph(example), session.run(None, {"x": example.numpy()}), strict=True
    ):
        wanted = expected.numpy()
        if found.shape != wanted.shape or np.abs(found - wanted).max() > TOLERANCE * np.abs(wanted).max():
            raise ValueError(f"The exported `{name}` differs from torch's. The model cannot be exported as it is.")


def command(arguments: Sequence[str] | None) -> None:
    """Exports a run."""
    made = parser("lstm_ae.export", __doc__, file=False)
    made.add_argument("--format", choices=["onnx"], default="onnx")
    made.add_argument("--output", type=Path, metavar="FILE", help="default: model.onnx in the run's directory")
    made.add_argument("--series", metavar="NAME", help="whose scaler is used, where each series has its own")
    options = made.parse_args(arguments)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    trained = loaded(options)
    path = options.output or trained.path / "model.onnx"
    described = export(trained, path, options.series)
    print(f"{path}: {', '.join(described['outputs'])}")
    if described["time"] is not None:
        print(f"The model reads sequences of {described['time']} steps only, and so does the export.")
    if "errors" not in described["outputs"]:
        print("The task's errors need labels or draw noise, which ONNX cannot: they are left out.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exports the run that the command line names, and returns the exit code."""
    return reported(command, arguments)


if __name__ == "__main__":
    sys.exit(main())
