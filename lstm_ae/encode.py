"""Encodes the sequences of a table by a trained model: a row a sequence, or a step where it has a latent at every step.

python -m lstm_ae.encode RUN data.csv --output latents.csv

FILE has the columns of the training table, the rows of a series together; they are cut into windows as in training. The
output names each sequence's series and the row at which it begins (from 0), and its latent values.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lstm_ae.trained.files import chunks, loaded, located, parser, reported, whole_series, writing


def encode(arguments: Sequence[str] | None) -> None:
    """Encodes a file."""
    made = parser("lstm_ae.encode", __doc__)
    made.add_argument("--output", type=Path, metavar="FILE", required=True, help="CSV, a row a sequence")
    options = made.parse_args(arguments)
    trained, count = loaded(options), 0
    schema = trained.schema
    with writing(options.output) as file:
        try:
            for frame in whole_series(chunks(options.file, schema), schema):
                found = schema.windows(schema.series_of(frame))
                latents = [np.atleast_2d(one) for one in trained.encode(found)]
                repeats = [len(one) for one in latents]
                begins = np.repeat([frame.index[rows[0]] for rows in found.rows], repeats)
                table = pd.DataFrame({"row": begins})
                if found.series is not None:
                    table.insert(0, str(schema.layout["series"]), np.repeat(found.series, repeats))
                if max(repeats) > 1:
                    steps = np.concatenate([np.arange(one) for one in repeats])
                    if schema.layout.get("steps"):  # of a wide table, of which a row holds many
                        table["step"] = steps
                    else:
                        table["row"] += steps
                values = np.concatenate(latents)
                table = table.join(pd.DataFrame(values, columns=[f"latent_{one}" for one in range(values.shape[1])]))
                table.to_csv(file, header=count == 0, index=False, lineterminator="\n")
                count += len(found)
        except ValueError as error:
            raise located(options.file, error) from error
    print(f"{count:,} sequences encoded: {options.output}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Encodes the file that the command line names, and returns the exit code."""
    return reported(encode, arguments)


if __name__ == "__main__":
    sys.exit(main())
