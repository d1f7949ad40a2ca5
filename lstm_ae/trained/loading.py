"""From a run directory to its model, its task and what it knows of its data; no pickle is read, no code imported."""

import functools
import importlib
import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lstm_ae.data.rescaling import Rescaling
from lstm_ae.data.unseen import Schema
from lstm_ae.files import DamagedError, MissingError
from lstm_ae.run_dir import MODEL, MODEL_FORMAT, SCALER, TASK, WEIGHTS, RunDir, find_finished
from lstm_ae.trained.model import Trained
from lstm_ae.types import Task

TRUSTED = ("lstm_ae.models", "lstm_ae.tasks", "torch.nn")
LATEST = "latest"
TYPES: Mapping[str, Any] = {
    "class": str, "arguments": dict, "sizes": dict, "task": dict, "feature_names": list, "unit": str, "classes": list,
    "series_names": list, "layout": dict, "length": int, "window": int | None, "missing": str,
}  # fmt: skip


def load_run(run: str | Path = LATEST, device: str = "cpu", allow: Sequence[str] = ()) -> Trained:
    """Returns the trained model of a finished run.

    Args:
        run: Its directory; `latest`: of the run under multirun/ that finished last.
        device: Where the model computes; results are on the CPU.
        allow: Modules of your own that may be imported, such as the one that defines the model: a directory by itself
            has nothing imported but this package's models and tasks, and layers of `torch.nn`.

    Raises:
        ValueError: it is no finished run, of another format, or names a module that is not allowed.

    Example:
        >>> import lstm_ae, numpy as np, tempfile
        >>> from lstm_ae.models import BottleneckAutoencoder
        >>> from lstm_ae.tasks import Reconstruction
        >>> waves = np.sin(np.linspace(0, 9, 20) + np.arange(40)[:, None])
        >>> small, folder = functools.partial(BottleneckAutoencoder, hidden_size=4), tempfile.TemporaryDirectory()
        >>> data = lstm_ae.SequenceData.from_arrays(waves)
        >>> _ = lstm_ae.fit(data, small, Reconstruction, epochs=1, run_dir=folder.name)
        >>> load_run(folder.name).encode(waves).shape
        (40, 4)
        >>> folder.cleanup()
    """
    run_dir = RunDir(_latest() if str(run) == LATEST else run)
    described = _described(run_dir)
    try:
        _check(run_dir / MODEL, described)
        model = _model(run_dir, described, allow)
        task = _task(described, allow)
        is_numbered = described["layout"].get("numbered")  # rows of a wide table without names of their own
        series_names = () if is_numbered else tuple(described["series_names"])
        schema = Schema(
            feature_names=tuple(described["feature_names"]),
            unit=described["unit"],
            classes=tuple(described["classes"]),
            missing=described["missing"],
            length=described["length"],
            window=described["window"],
            layout=described["layout"],
            scaler=Rescaling(run_dir.read_arrays(SCALER), series_names),
        )
    except DamagedError:
        raise
    except (KeyError, OSError) as error:
        raise ValueError(
            f"`run` must be the directory of a finished run, and in {run_dir.path} something is missing: {error}. "
            "Train it again."
        ) from error
    except Exception as error:  # the file chooses the class and what it is given
        raise ValueError(
            f"{run_dir / MODEL} names what cannot be built: {error} Restore it from a copy, or train it again."
        ) from error
    fitted = run_dir.read_arrays(TASK) if (run_dir / TASK).exists() else {}
    return Trained(run_dir.path, model.to(device).eval(), task, schema, device, _typical_error(run_dir), fitted)


def _latest() -> Path:
    found = find_finished(Path("multirun"))
    if found is None:
        raise ValueError("`run` must name a finished run: there is none under multirun/. Train one, or name another.")
    return found


def _described(run_dir: RunDir) -> dict[str, Any]:
    """Returns what model.json holds.

    Raises:
        ValueError: there is none, or it is of another format.
    """
    missing = [name for name in (MODEL, WEIGHTS) if not (run_dir / name).exists()]
    if missing:
        state = run_dir.status().get("state")
        why = f"there is no {missing[0]}: restore it from a copy, or train it again"
        if missing == [MODEL]:
            why = f"that one is of an older version, without {MODEL}: train it again"
        elif state not in (None, "finished"):
            why = f"that one is {state}: run it again to finish it"
        raise ValueError(f"`run` must be the directory of a finished run, got {run_dir.path}: {why}.")
    described: dict[str, Any] = run_dir.read_json(MODEL)
    version = described.get("format", 0)
    if type(version) is not int:
        raise DamagedError(run_dir / MODEL, f"must hold a whole number as `format`, got {version!r}")
    if version != MODEL_FORMAT:
        cure = "Install a newer lstm_ae." if version > MODEL_FORMAT else "Train it again, or install an older lstm_ae."
        raise ValueError(
            f"`run` must have the format {MODEL_FORMAT}, which this version reads, and {run_dir.path} has {version}. "
            f"{cure}"
        )
    return described


def _check(path: Path, described: Mapping[str, Any]) -> None:
    """Checks the types and sizes in model.json.

    Raises:
        DamagedError: something is not what a run writes there.
        KeyError: something is missing.
    """
    for name in TYPES.keys() & described.keys():
        value = described[name]
        texts = value if isinstance(value, list) else []
        if not isinstance(value, TYPES[name]) or not all(isinstance(one, str) for one in texts):
            raise DamagedError(path, f"must not hold {value!r} as `{name}`")
    for size, names in (("features", described["feature_names"]), ("classes", described["classes"])):
        if described["sizes"].get(size, len(names)) != len(names):
            raise DamagedError(path, f"must hold as many names as {size}, {described['sizes'][size]}, got {names}")


def _model(run_dir: RunDir, described: Mapping[str, Any], allow: Sequence[str]) -> nn.Module:
    factory = _imported(described["class"], allow)
    arguments = {name: _built(value, allow) for name, value in described["arguments"].items()}
    with torch.random.fork_rng():  # initial weights are drawn, and the caller's generator stays as it was
        model: nn.Module = factory(**arguments, **described["sizes"])
    weights = read_weights(run_dir)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(
            f"the weights do not fit {described['class']}, which has changed since: {reason} "
            "Use the code of the run, or train it again."
        ) from error
    return model


def read_weights(run_dir: RunDir) -> dict[str, torch.Tensor]:
    """Returns the weights of a finished run.

    Raises:
        DamagedError: the file is not whole, or another run has written it.
    """
    content, run = run_dir.read_zip(WEIGHTS)
    own = run_dir.status().get("signature")
    if run is not None and own is not None and run != own:
        raise DamagedError(run_dir / WEIGHTS, "is of another run than the directory's other files")
    try:
        weights = torch.load(content, map_location="cpu", weights_only=True)
        return {str(name): value for name, value in weights.items()}
    except Exception as error:  # torch's own text advises to load without care
        raise DamagedError(run_dir / WEIGHTS, f"cannot be read as weights ({type(error).__name__})") from None


def _task(described: Mapping[str, Any], allow: Sequence[str]) -> Task:
    """Returns the task, without its baselines."""
    factory = _imported(described["task"]["class"], allow)
    arguments = dict(described["task"]["arguments"])
    arguments.pop("baselines", None)
    if "unit" in inspect.signature(factory).parameters:
        arguments.setdefault("unit", described["unit"])
    task: Task = factory(**{name: _built(value, allow) for name, value in arguments.items()})
    return task


def _imported(target: str, allow: Sequence[str]) -> Any:
    """Returns a class or function by its dotted name.

    Raises:
        ValueError: its module is not allowed, or cannot be imported.
    """
    module, _, name = target.rpartition(".")

    def allowed(where: str) -> bool:
        return any(where == one or where.startswith(f"{one}.") for one in (*TRUSTED, *allow))

    if not allowed(module):
        raise ValueError(
            f"the run was trained with {target}, and a module is imported only where you name it. "
            f"Use allow=[{module!r}] if you trust it."
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"the run was trained with {target}, which cannot be imported: {error}. Put its folder on Python's path."
        ) from error
    if not (inspect.isclass(found) or inspect.isroutine(found)) or not allowed(found.__module__):
        raise ValueError(f"{target} must be a class or a function of the module {module}, got {found!r}.")
    return found


def _built(value: Any, allow: Sequence[str]) -> Any:
    """Returns an argument; a node that names a class is built, as Hydra would."""
    if isinstance(value, list):
        return [_built(one, allow) for one in value]
    if not isinstance(value, Mapping):
        return value
    arguments = {name: _built(one, allow) for name, one in value.items() if not name.startswith("_")}
    if "_target_" not in value:
        return arguments
    factory = functools.partial(
        _imported(value["_target_"], allow), *_built(value.get("_args_", []), allow), **arguments
    )
    return factory if value.get("_partial_") else factory()


def _typical_error(run_dir: RunDir) -> float:
    """Returns the run's validation loss; 1 where it has none."""
    try:
        loss = run_dir.read_metric("validation", dict).get("loss")
    except MissingError:
        loss = None
    return float(loss) if isinstance(loss, int | float) and math.isfinite(loss) and loss > 0 else 1.0
