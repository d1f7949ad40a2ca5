"""Forecasts the steps that follow each series of a table.

python -m lstm_ae.forecast RUN data.csv --steps 24 --output forecast.csv

FILE has the columns of the training table. The output has a row a step ahead (from 1) of each series, with the features
in their own units.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lstm_ae.trained import Trained
from lstm_ae.trained.files import chunks, loaded, located, parser, reported, writing


def tails(trained: Trained, path: Path) -> pd.DataFrame:
    """Returns the last rows of each series of a file, as many as the model reads.

    All rows, where the model reads whole series, or where the last ones are filled in or scaled by earlier ones.
    """
    schema, held = trained.schema, pd.DataFrame()
    if trained.reads is None or schema.needs_whole_series or schema.missing == "forward":
        return pd.concat(list(chunks(path, schema)))
    for chunk in chunks(path, schema):
        held = chunk if held.empty else pd.concat([held, chunk])
        found = schema.series_of(held)
        held = held.iloc[np.sort(np.concatenate([rows[-trained.reads :] for rows in found.rows]))]
    return held


def forecast(arguments: Sequence[str] | None) -> None:
    """Forecasts a file's series."""
    made = parser("lstm_ae.forecast", __doc__)
    made.add_argument("--steps", type=int, required=True, help="how many steps ahead")
    made.add_argument("--output", type=Path, metavar="FILE", required=True, help="CSV, a row a step of a series")
    options = made.parse_args(arguments)
    trained = loaded(options)
    try:
        frame = tails(trained, options.file)
        found = trained.schema.series_of(frame)
        values = trained.forecast(found, options.steps)
    except ValueError as error:
        raise located(options.file, error) from error
    table = pd.DataFrame(values.reshape(-1, values.shape[2]), columns=list(trained.schema.feature_names))
    table.insert(0, "step", np.tile(np.arange(1, options.steps + 1), len(values)))
    if found.series is not None:
        table.insert(0, str(trained.schema.layout["series"]), np.repeat(found.series, options.steps))
    with writing(options.output) as file:
        table.to_csv(file, index=False, lineterminator="\n")
    print(f"{options.steps} steps of {len(values):,} series forecast: {options.output}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Forecasts the file that the command line names, and returns the exit code."""
    return reported(forecast, arguments)


if __name__ == "__main__":
    sys.exit(main())
