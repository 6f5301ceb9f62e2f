from collections.abc import Sequence
from typing import Any

import numpy as np

def check_array(array: Any, *, estimator: Any = None, **checks: Any) -> np.ndarray: ...
def check_X_y(
    X: Any, y: Any, *, estimator: Any = None, **checks: Any
) -> tuple[np.ndarray, np.ndarray]: ...
def check_is_fitted(estimator: Any, attributes: str | Sequence[str] | None = None) -> None: ...

# with y a pair, without one the array alone
def validate_data(
    _estimator: Any, /, X: Any = ..., y: Any = ..., reset: bool = True, **checks: Any
) -> Any: ...
