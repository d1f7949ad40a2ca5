"""Values and annotations: the one validator of arguments and of configured values."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import pytest

from lstm_ae import checks
from lstm_ae.checks import Bounds, ConfigError, Count, Cure, Length, Share


class TestMisfit:
    """A value and an annotation."""

    @pytest.mark.parametrize(
        ("value", "hint", "rule"),
        [
            (True, int, ""), (True, float, ""), (1, bool, ""), (4.0, int, ""), (math.nan, float, "be a finite number"),
            (10**400, float, f"be below {2**63}, or have a decimal point"), (0, Count | None, "be at least 1"),
            (2**31, Count, "be at most 2147483647"), (1.0, Share, "lie between 0 and 1"),
            ("c", Literal["a", "b"], "be one of a, b"), (True, Literal[1, 2], "be one of 1, 2"),
            ("ab", list[str], ""), ([1, "a"], list[int], ""), ([[4, 10, 2]], list[tuple[int, int]], ""),
            ([[1, 2], [3, 4.5]], list[list[int]], ""), ({"a": 1}, Mapping[str, str], ""), ("a", int | None, ""),
            (1, Callable[..., Any], ""), ([2, 0], tuple[Count, ...], "be at least 1"),
            ([[4]], list[Annotated[list[int], Length(2)]], "hold 2 values each"),
        ],
    )  # fmt: skip
    def test_it_is_refused(self, value, hint, rule):
        assert checks.misfit(value, hint).rule == rule

    @pytest.mark.parametrize(
        ("value", "hint"),
        [
            (1, float), (None, Count | None), ([4, 10], tuple[int, int]), ([[4, 10]], list[tuple[int, int]]),
            (1e300, float), ("auto", Literal["auto"] | bool), (True, Literal["auto"] | bool), ("a", str),
            ({"a": [1]}, dict[str, list[int]]),
            (1, Any), ((1, 2), list[int]), ([], list[int]), (len, Callable[..., Any]),
        ],
    )  # fmt: skip
    def test_it_fits(self, value, hint):
        assert checks.misfit(value, hint) is None

    def test_every_item_of_a_list_is_looked_at(self):
        assert checks.misfit([[4, 10]] * 1000 + [[4.5, 10]], list[tuple[int, int]]) is not None

    def test_the_cure_of_the_whole_goes_before_that_of_a_part(self):
        hint = Annotated[list[Annotated[int, Bounds(at_least=1, cure="Use {name}=[1].")]], Cure("Use {name}=[2].")]
        with pytest.raises(ConfigError, match=r"`a` must be at least 1, got \[0\]. Use a=\[2\]."):
            checks.check("a", [0], hint)

    def test_a_checked_function_refuses_bad_arguments_by_name(self):
        @checks.checked
        def build(size: Count, *rest: int, share: Share = 0.5, **more: int) -> int:
            return size

        assert build(2, "x", share=0.1, other="y") == 2
        with pytest.raises(ConfigError, match="`share` must lie between 0 and 1, got 2"):
            build(2, share=2)
        with pytest.raises(ConfigError, match="`size` must be of type int, got True"):
            build(True)
