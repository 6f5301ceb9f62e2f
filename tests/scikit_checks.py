"""scikit-learn's own checks of an estimator: a model learns as long as the check asks for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest import SkipTest

from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator

__all__ = ["failed_checks"]

# those that ask for right answers; all others are content with a model that has hardly learnt
ACCURACY = {
    "check_classifiers_train",
    "check_classifiers_classes",
    "check_class_weight_classifiers",
    "check_regressors_train",
    "check_sample_weight_equivalence_on_dense_data",
}
# weight 2 as an item twice, to seven digits: test_sample_weight says what holds of it
ELSEWHERE = ("check_sample_weight_equivalence",)


def failed_checks(
    model: Any, hastily: Callable[[], Any] = nullcontext, **quick: Any
) -> tuple[int, list[str]]:
    """How many checks there were, and the names of those that failed. `quick`: settings with which
    it learns little, for all checks that do not ask for right answers, and `hastily` a context in
    which these are run."""
    done, failed = 0, []
    for hasty, check in estimator_checks_generator(clone(model).set_params(**quick)):
        name = check.func.__name__
        done += 1
        if name.startswith(ELSEWHERE):
            continue
        try:
            if name in ACCURACY:
                check(clone(model))
            else:
                with hastily():
                    check(hasty)
        except SkipTest:
            pass
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}")
    return done, failed
