from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])

# the method is there where check(estimator) is true, and AttributeError where it is not
def available_if(check: Callable[[Any], bool]) -> Callable[[_F], _F]: ...
