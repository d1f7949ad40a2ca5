"""Daily prices of companies, as windows of consecutive trading days of one company."""

from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch

from lstm_ae import checks
from lstm_ae.checks import Bounds, Count, Share
from lstm_ae.data import files
from lstm_ae.data.scaling import Scaling
from lstm_ae.data.sequences import SequenceData
from lstm_ae.data.times import Place

COLUMN = "close"
ZONE = r"(?<=\d)\s*(Z|[+-]\d\d:?\d\d)$"  # at the end of a date with a time


@checks.checked
def load_sp500(
    path: str | None,
    column: str,
    symbols: list[str] | None,
    start: str | None,
    end: str | None,
    window: Annotated[int, Bounds(at_least=2)],
    stride: Count,
    test_share: Share,
    test_part: Literal["latest", "shuffled"],
    scaling: Literal["relative", "minmax", "standard", "none"],
    scaler_sees: Literal["training", "everything"],
) -> SequenceData:
    """Returns every window of `window` consecutive trading days of one company, in dollars.

    The trading days are those on which any company has a row. A day without a price is a gap that no window crosses;
    a company without one whole window is left out; both are named in `notes`. The test part is the latest stretch of
    days; windows that reach from before it into it belong to no part.

    Source of the default: the adjusted closing prices of twenty S&P 500 companies, 1990 to 2022, that ship with
    skfolio. All of them survived these years, so that their mean rise is not that of companies picked in 1990.

    Args:
        path: A long table, CSV or Parquet, with the columns `date` (year-month-day), `symbol` or `Name`, and prices; or
            a folder of such files; None: skfolio's prices.
        column: The price column of that CSV.
        symbols: The companies to keep, None for all.
        start: The first day, included.
        end: The last day, included.
        window: Trading days a sequence.
        stride: Trading days from the start of one window to the next.
        test_share: The share of the trading days that is the test part.
        test_part: `latest`, or `shuffled`: windows drawn from all days, which overlap with those of training.
        scaling: `minmax` or `standard`, a scaler a company, or `relative`, see `lstm_ae.data.scaling`.
        scaler_sees: `training` days alone, or `everything`, which is how test prices leak into training.

    Raises:
        ValueError: the file or one of the values above cannot be used; the text names the cure.
    """
    if path is None and column != COLUMN:
        raise ValueError(
            f"`column` needs a file of prices, got {column!r} and no dataset.path. Use dataset.path=FILE.csv."
        )
    prices = _shipped_prices() if path is None else read_prices(path, column)
    prices = _select(prices, symbols, start, end)
    table = prices.stack().dropna().swaplevel().sort_index(level=0, sort_remaining=True)
    names = tuple(prices.columns)
    company_of_step = np.searchsorted(names, table.index.get_level_values(0))
    day_of_step = prices.index.get_indexer(table.index.get_level_values(1))
    starts = _window_starts(company_of_step, day_of_step, window, stride)
    if not len(starts):
        longest = int(prices.notna().sum().max())
        raise ValueError(
            f"`window` is longer than every company's unbroken history: {window} days, and the longest company has "
            f"{longest} days with a price. Use a smaller window (dataset.window) or a longer stretch of time."
        )
    if test_part == "shuffled":
        test = np.random.default_rng(0).random(len(starts)) < test_share
    else:
        boundary = round(len(prices) * (1 - test_share))
        first, last = day_of_step[starts], day_of_step[starts + window - 1]
        starts = starts[(last < boundary) | (first >= boundary)]
        if not len(starts):
            raise ValueError(
                f"`window` must fit on one side of the first tested day, got {window} days, and there are {boundary} "
                f"before it and {len(prices) - boundary} from it on. Use a smaller window (dataset.window)."
            )
        test = day_of_step[starts] >= boundary
    return SequenceData(
        values=torch.from_numpy(table.to_numpy(dtype=np.float32, copy=True).reshape(-1, 1)),
        starts=torch.from_numpy(starts),
        lengths=window,
        test=test,
        scaling=Scaling(scaling, per="series", sees=scaler_sees),
        series_of_step=company_of_step,
        series_names=names,
        time_of_step=day_of_step,
        times=prices.index.to_numpy(dtype="datetime64[D]"),
        feature_names=("price",),
        unit="USD",
        notes=_notes(prices, names, company_of_step[starts], window),
    )


def read_prices(path: str, column: str) -> pd.DataFrame:
    """Returns one column of a long table as a table with a row a day and a column a company.

    Raises:
        ValueError: the file is missing, empty or malformed; the text names the row and the cure.
    """
    paths = files.find(path)
    header = files.header(paths[0])
    symbol = "Name" if "Name" in header and "symbol" not in header else "symbol"
    try:
        frame, place = files.read(paths, ["date", symbol], None, [column])
    except ValueError as error:
        raise ValueError(str(error).replace("`features`", "`column`")) from error
    symbols = frame[symbol].astype(object)
    _refuse(symbols, symbols.isna(), place, "has no symbol", "Give every row a symbol")
    tidy = pd.DataFrame({"day": _days(frame["date"], place), "symbol": symbols, "price": frame[column]})
    again = tidy.duplicated(["day", "symbol"])
    _refuse(symbols, again, place, "repeats a day of a company", "Keep one row a company and day")
    return tidy.pivot(index="day", columns="symbol", values="price").sort_index()


def _days(dates: pd.Series, place: Place) -> pd.Series:
    """Returns the days of a column of dates, as the clock of their one time zone has them.

    Raises:
        ValueError: a date cannot be read, or is of another time zone than the first.
    """
    text = dates.astype(str)
    zone = text.str.extract(ZONE, expand=False).fillna("")
    cure = "Write days as 2017-12-31"
    _refuse(dates, zone != zone.iloc[0], place, "has a date of another time zone than the first", cure)
    found = pd.to_datetime(text.str.replace(ZONE, "", regex=True), format="ISO8601", errors="coerce")
    _refuse(dates, found.isna(), place, "has a date that cannot be read", cure)
    return found.dt.normalize()


def _shipped_prices() -> pd.DataFrame:
    from skfolio.datasets import load_sp500_dataset  # takes seconds to import: only where it is needed

    prices: pd.DataFrame = load_sp500_dataset().sort_index(axis=1)
    return prices


def _refuse(values: pd.Series, bad: "pd.Series[bool]", place: Place, problem: str, cure: str) -> None:
    """Raises a ValueError that names the first bad row."""
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"`path`: {place(row)} {problem}: {values.iloc[row]!r}. {cure}.")


def _select(prices: pd.DataFrame, symbols: list[str] | None, start: str | None, end: str | None) -> pd.DataFrame:
    """Returns the chosen companies and days, the companies in the alphabet's order."""
    if symbols is not None:
        for symbol in symbols:
            if symbol not in prices:
                known = ", ".join(map(str, prices.columns))
                raise ValueError(f"`symbols` must name companies of the data, got {symbol!r}. Use some of: {known}.")
        prices = prices[sorted(set(symbols))]
    first, last = _day("start", start, prices.index[0]), _day("end", end, prices.index[-1])
    chosen = prices.loc[first:last]
    if chosen.isna().all(axis=None):
        raise ValueError(
            f"`start` and `end` must enclose days with prices of the companies, got {start} to {end}. "
            f"Use days within {prices.index[0]:%Y-%m-%d}..{prices.index[-1]:%Y-%m-%d}."
        )
    return chosen


def _day(name: str, value: str | None, default: pd.Timestamp) -> pd.Timestamp:
    try:
        return default if value is None else pd.Timestamp(value)
    except ValueError:
        raise ValueError(f"`{name}` must be a day, got {value!r}. Use dataset.{name}=2010-01-31.") from None


def _window_starts(company_of_step: np.ndarray, day_of_step: np.ndarray, window: int, stride: int) -> np.ndarray:
    """Returns the rows at which a window of consecutive days of one company begins."""
    starts = np.arange(max(0, len(company_of_step) - window + 1))
    ends = starts + window - 1
    unbroken = day_of_step[ends] - day_of_step[starts] == window - 1
    same_company = company_of_step[ends] == company_of_step[starts]
    on_stride = day_of_step[starts] % stride == 0
    return np.flatnonzero(unbroken & same_company & on_stride)


def _notes(prices: pd.DataFrame, names: tuple[str, ...], used: np.ndarray, window: int) -> tuple[str, ...]:
    notes = []
    for company, name in enumerate(names):
        with_price = prices[name].first_valid_index(), prices[name].last_valid_index()
        missing = int(prices.loc[with_price[0] : with_price[1], name].isna().sum()) if with_price[0] else 0
        if not (used == company).any():
            notes.append(f"{name} is left out: its {prices[name].notna().sum()} days hold no window of {window}.")
        elif missing:
            notes.append(f"{name} has no price on {missing} of its days; no window crosses them.")
    return tuple(notes)
