"""The entry point: `lstm-ae GROUP=OPTION KEY=VALUE ...`, or `python run.py`, runs one experiment or a sweep of them.

Nothing heavy is imported before the configuration is composed, so that help and mistakes come back at once.
"""

import gc

gc.disable()  # until a job begins: composing makes no garbage worth collecting, and is the faster for it

import difflib
import os
import re
import sys
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lstm_ae.checks import ConfigError
from lstm_ae.experiment.keys import RunKeys, dotted
from lstm_ae.experiment.overrides import check_groups, parse
from lstm_ae.printable import printable

#: In a wheel conf/ lies within the package, in a clone next to it.
CONF = next(path for path in (Path(__file__).parent / "conf", Path(__file__).parents[1] / "conf") if path.is_dir())


#: Tables of a folder of series that are none.
NO_SERIES = ("index", "vus_reference")


ConfigStore.instance().store(name="run_keys", node=RunKeys)


def _tables(folder: str) -> str:
    """Returns the CSV files of a folder, or below its `data`, without their ending, as the values of a sweep."""
    root = Path(folder) / "data" if (Path(folder) / "data").is_dir() else Path(folder)
    found = sorted(str(path.relative_to(root))[:-4] for path in root.rglob("*.csv"))
    return (
        ",".join(f"'{name}'" for name in found if Path(name).name not in NO_SERIES) or "none"
    )  # refused by the dataset


OmegaConf.register_new_resolver("tables", _tables, replace=True)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _main(config: DictConfig) -> float:
    """Runs one job and returns its score, which a sweeper compares."""
    from lstm_ae.experiment.configured import run

    gc.enable()
    return run(config)


def main() -> None:
    """Runs the command line, and ends the program with the exit code 1 where something went wrong."""
    _own_modules()
    code = report_errors()
    gc.freeze()  # Python's last collection would walk through every object once more: a tenth of the time of --cfg job
    sys.exit(code)


def _own_modules() -> None:
    """Puts the working folder on the path of this process and of those that it starts: there lie the user's modules."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if folder not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, known)])


def report_errors() -> int:
    """Calls Hydra; an error becomes a message on standard error and exit code 1, without a traceback.

    Hydra prints tracebacks of its own unless HYDRA_FULL_ERROR is set: it is set here, and where the user has set it,
    the traceback is shown.
    """
    traceback_wanted = os.environ.setdefault("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        _main()
        _reader_has_ended("")
    except KeyboardInterrupt as interrupt:
        print(printable(f"\nInterrupted. {interrupt}".rstrip(), keep="\n"), file=sys.stderr)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_has_ended("\n"):
            return 0
        if traceback_wanted:
            raise
        print(printable(f"Error: {explain(error)}", keep="\n"), file=sys.stderr)
        print("HYDRA_FULL_ERROR=1 shows the traceback.", file=sys.stderr)
    else:
        return 0
    return 1


def _reader_has_ended(text: str) -> bool:
    """Writes a last text; returns whether the output's reader, such as `head`, has ended: the rest is then dropped."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def explain(error: Exception) -> str:
    """Returns what a user needs to know of an error that ended the program."""
    if isinstance(error, MissingConfigException):  # which is an OSError too
        return _missing_option(error)
    if isinstance(error, OSError):  # before the job began: Hydra could not make the directory
        return (
            f"`hydra.run.dir` must be a folder that can be written: {error}. Free some space, or name another folder."
        )
    if isinstance(error, ConfigCompositionException) and (mistyped := _mistyped_key(error)):
        return mistyped
    if isinstance(error, ValueError) and (unchosen := _unchosen_group()):
        return unchosen
    if isinstance(error, HydraException | OmegaConfBaseException | ConfigError):
        reason = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else ""
        return f"{error}\n{reason}".rstrip()
    return f"{type(error).__name__}: {error}"


def _missing_option(error: MissingConfigException) -> str:
    """Returns which options a group has, and the one whose name is nearest."""
    group, _, option = str(error.missing_cfg_file or "").rpartition("/")
    options = list(error.options or [])
    if not group or not options:
        return str(error)
    near = [one for one in options if one.startswith(option)] or difflib.get_close_matches(option, options, cutoff=0.4)
    cure = f" Did you mean {group}={near[0]}?" if near else ""
    return f"`{group}` has no option {option!r}.{cure} There are: {', '.join(options)}."


def _unchosen_group() -> str | None:
    """Returns what to say of a group that the command line gives no option; None if there is none."""
    try:
        check_groups(parse(*(word for word in sys.argv[1:] if "=" in word and not word.startswith("-"))))
    except HydraException:  # a word that is no override
        return None
    except ConfigError as error:
        return str(error)
    return None


def _mistyped_key(error: ConfigCompositionException) -> str | None:
    """Returns the nearest key to one that the configuration does not have; None for another kind of error."""
    found = re.search(r"Could not override '([^']+)'", str(error))
    if found is None:
        return None
    key = found[1]
    keys = [one for one in _keys() if not one.endswith("._target_")]
    same_end = [one for one in keys if one.rpartition(".")[2] == key.rpartition(".")[2]]
    near = same_end or difflib.get_close_matches(key, keys, n=1)
    if not near and "." in key:
        group = [one for one in keys if one.startswith(f"{key.partition('.')[0]}.")]
        near = difflib.get_close_matches(key, group, n=1, cutoff=0.3)
    cure = f"Did you mean {' or '.join(near[:3])}?" if near else "`--cfg job` prints all keys."
    return f"There is no key {key!r}. {cure} (+{key}=VALUE adds a key, if the component takes it.)"


def _keys() -> list[str]:
    """Returns the dotted keys of the command line's choices, as far as they compose."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    choices = [word for word in sys.argv[1:] if re.fullmatch(r"[a-z_]+=\w+", word)]
    GlobalHydra.instance().clear()
    own = re.search(r"(?:--config-dir|-cd)[= ](\S+)", " ".join(sys.argv[1:]))
    path = [f"hydra.searchpath=[file://{Path(own[1]).absolute()}]"] if own else []
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for given in ([*path, *choices], path, []):
            try:
                return dotted(compose("config", overrides=given))
            except Exception:  # one of the choices is what is wrong
                continue
    return []


if __name__ == "__main__":
    main()
