"""A job without Hydra: `lstm_ae.fit` goes the same way as one that is configured."""

import contextlib
import functools
import inspect
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch.optim.lr_scheduler import ConstantLR

from lstm_ae.checks import ConfigError
from lstm_ae.data.sequences import SequenceData
from lstm_ae.experiment import job
from lstm_ae.experiment.assembly import Factory, Recipe
from lstm_ae.experiment.values import named, target_of
from lstm_ae.plots import COMMON
from lstm_ae.run_dir import METRICS, RunDir
from lstm_ae.splits import Holdout
from lstm_ae.trainer import Callback, Trainer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from lstm_ae.trained import Trained

#: What conf/ chooses where nothing is said; a test holds the two together.
SPLIT = functools.partial(Holdout, validation=0.25)
OPTIMIZER = functools.partial(torch.optim.Adam, lr=0.01, weight_decay=0.0, fused=True)
SCHEDULER = functools.partial(ConstantLR, factor=1.0)


class Run:
    """A finished run.

    Args:
        path: Its directory.
        figures: The figures of its task, by name.
        modules: Where its model and task are defined.
    """

    def __init__(self, path: Path, figures: Mapping[str, Callable[..., Any]], modules: Sequence[str] = ()) -> None:
        self.path, self._modules = path, modules
        self._run_dir = RunDir(path)
        self._figures = {**COMMON, **figures}

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def trained(self) -> "Trained":
        """The model, for sequences of your own, see `lstm_ae.load_run`."""
        from lstm_ae.trained import load_run

        return load_run(self.path, allow=self._modules)

    @property
    def metrics(self) -> dict[str, Any]:
        """What metrics.json holds."""
        return self._run_dir.read_json(METRICS)

    @property
    def history(self) -> "pd.DataFrame":
        """A row an epoch."""
        return self.table("history")

    def table(self, name: str) -> "pd.DataFrame":
        """Returns a table of the task, such as `classes`.

        Raises:
            ValueError: there is none of this name; the text names those there are.
        """
        import pandas as pd

        known = sorted(path.stem for path in self.path.glob("*.csv"))
        if name not in known:
            raise ValueError(f"`name` must be a table of the run, got {name!r}. There are: {', '.join(known)}.")
        return pd.read_csv(self.path / f"{name}.csv")

    def figure(self, name: str) -> "Figure":
        """Returns a figure, such as `loss` or `reconstruction`, which a notebook shows.

        Raises:
            ValueError: there is none of this name, or nothing to draw; the text names those there are.
        """
        if name not in self._figures:
            known = ", ".join(self._figures)
            raise ValueError(f"`name` must be a figure of the run, got {name!r}. There are: {known}.")
        figure: Figure | None = self._figures[name](self._run_dir)
        if figure is None:
            raise ValueError(f"The run has nothing to draw for {name!r}. Choose another figure.")
        return figure


def fit(
    data: SequenceData,
    model: Factory,
    task: Factory,
    *,
    split: Factory | None = None,
    optimizer: Factory | None = None,
    scheduler: Factory | None = None,
    trainer: Factory | None = None,
    run_dir: str | Path | None = None,
    epochs: int = 50,
    seed: int = 0,
    fold: int | None = None,
    objective: str = "loss",
    evaluate_test: bool = True,
    init_from: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Trains a model and leaves the same run directory as `python run.py`.

    Components are classes or `functools.partial`s, so that the seed is set before they are built and their arguments
    are recorded. What is left out is what the command line would take.

    Args:
        data: The sequences, such as `SequenceData.from_frame(frame)`.
        model: An `nn.Module`; is given `features`, `time` and `classes` if it names them.
        task: The question, such as `lstm_ae.tasks.Reconstruction`.
        split: Which sequences train and which validate.
        optimizer: Is given `params`.
        scheduler: Is given `optimizer`, and `total_steps` and `T_max` if it names them.
        trainer: The epoch loop; None: `lstm_ae.Trainer` with `epochs`.
        run_dir: Where to; None: a new directory under multirun/. The directory of the same run, unfinished, resumes it.
        epochs: Of the default trainer.
        seed: Of initial weights, the order of batches, dropout and the default split.
        fold: Which fold of the split; None for a holdout run.
        objective: The validation metric that chooses the weights.
        evaluate_test: Whether the test subset is judged; else the validation subset is.
        init_from: The directory of a finished run whose weights are the initial ones, where shapes fit.
        callbacks: Called with each epoch's row of the history; they end training by raising `lstm_ae.StopTraining`.

    Raises:
        ValueError: something does not fit; the text names the argument and the cure.
        RunDirError: the directory holds another run.

    Example:
        >>> import numpy as np, tempfile
        >>> from lstm_ae.models import BottleneckAutoencoder
        >>> from lstm_ae.tasks import Reconstruction
        >>> waves = np.sin(np.linspace(0, 9, 20) + np.arange(40)[:, None])
        >>> small = functools.partial(BottleneckAutoencoder, hidden_size=4)
        >>> folder = tempfile.TemporaryDirectory()
        >>> run = fit(SequenceData.from_arrays(waves), small, Reconstruction, epochs=2, run_dir=folder.name)
        >>> list(run.history["epoch"]), sorted(run.metrics["skill"])
        ([1, 2], ['pca'])
        >>> folder.cleanup()
    """
    if not isinstance(data, SequenceData):
        raise ConfigError(
            f"`data` must be a SequenceData, got {type(data).__name__}. Use SequenceData.from_frame or from_arrays."
        )
    factories: dict[str, Factory] = {
        "split": split or functools.partial(SPLIT, random_state=seed),
        "task": task,
        "model": model,
        "optimizer": optimizer or OPTIMIZER,
        "scheduler": scheduler or SCHEDULER,
        "trainer": trainer or functools.partial(Trainer, epochs=epochs),
    }
    keys: dict[str, Any] = {"seed": seed, "fold": fold, "objective": objective, "evaluate_test": evaluate_test}
    keys["init_from"] = None if init_from is None else str(init_from)
    config: dict[str, Any] = keys | {"dataset": {"fingerprint": data.fingerprint()}}
    config |= {group: _node(group, factory) for group, factory in factories.items()}
    path = Path(run_dir) if run_dir is not None else _new(factories["task"])
    recipe = Recipe(data=data, config=config, **cast(dict[str, Any], factories), **keys)
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    with _as_it_was():
        job.run(job.Job(RunDir(path), config, lambda: recipe, figures=False, callbacks=callbacks))
    figures = getattr(factories["task"], "figures", None) or getattr(target_of(task), "figures", {})
    return Run(path, figures, [target_of(factory).__module__ for factory in (model, task)])


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """Leaves the number of threads and the global generators, which a job sets, as the caller had them."""
    threads, drawn, numpys = torch.get_num_threads(), random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)
        random.setstate(drawn)
        np.random.set_state(numpys)  # noqa: NPY002


def _new(task: Factory) -> Path:
    now = datetime.now()
    return Path("multirun") / f"{now:%Y-%m-%d}" / f"{now:%H-%M-%S-%f}_{named(task).rpartition('.')[2].lower()}"


def _node(group: str, factory: Any) -> dict[str, Any]:
    """Returns what a configuration would hold of a factory: its name and its arguments.

    Raises:
        ConfigError: it is no class, function or partial, or was given more than plain values.
    """
    target = target_of(factory)
    if not (inspect.isclass(target) or inspect.isroutine(target)):
        raise ConfigError(
            f"`{group}` must be a class or a functools.partial of one, got {target!r}. Use functools.partial("
            f"{type(target).__name__}, ...), so that it is built after the seed is set and its arguments are recorded."
        )
    if "<" in named(factory):
        raise ConfigError(
            f"`{group}` must be defined at the top of a module, so that it can be recorded, got {named(factory)}. "
            "Move it there."
        )
    arguments = {}
    if isinstance(factory, functools.partial):
        names = list(inspect.signature(target).parameters)
        arguments = dict(zip(names, factory.args, strict=False)) | factory.keywords
    return {"_target_": named(factory)} | {name: _plain(f"{group}.{name}", value) for name, value in arguments.items()}


def _plain(key: str, value: Any) -> Any:
    """Returns an argument as a configuration holds it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(f"{key}.{name}", one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(key, one) for one in value]
    if isinstance(value, functools.partial) or inspect.isclass(value) or inspect.isroutine(value):
        return _node(key, value) | {"_partial_": True}
    raise ConfigError(f"`{key}` must be a plain value, so that it can be recorded, got {value!r}. Pass plain values.")
