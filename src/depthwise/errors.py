"""Every error depthwise raises on purpose.

    DepthwiseError                      catch this to catch them all
    ├── InputError       (ValueError)   an argument or a setting is wrong        exit code 2
    │   ├── DataError                   a data file, folder or array is wrong    exit code 2
    │   └── ModelFileError              a saved model or checkpoint is wrong     exit code 2
    ├── NothingFitsError (ValueError)   no candidate can meet the limits         exit code 3
    ├── DivergedError    (ArithmeticError)  training produced NaN or infinity    exit code 4
    └── MissingExtraError (ImportError) an optional dependency is not installed  exit code 2

A message is one sentence or two: what is wrong, where (the file, argument and value), and how
to mend it. `exit_code` is what the command line returns.
"""

__all__ = [
    "DataError",
    "DepthwiseError",
    "DivergedError",
    "InputError",
    "MissingExtraError",
    "ModelFileError",
    "NothingFitsError",
    "one_line",
    "reason_of",
]


class DepthwiseError(Exception):
    exit_code = 1


class InputError(DepthwiseError, ValueError):
    exit_code = 2


class DataError(InputError):
    """Of a file, folder or array of data."""


class ModelFileError(InputError):
    """Of a folder that a model was saved in."""


class NothingFitsError(DepthwiseError, ValueError):
    exit_code = 3


class DivergedError(DepthwiseError, ArithmeticError):
    exit_code = 4


class MissingExtraError(DepthwiseError, ImportError):
    exit_code = 2


def one_line(error: BaseException) -> str:
    """What somebody else's code failed of in the first place: type and first line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"


def reason_of(error: BaseException) -> str:
    """Why a file could not be read or written: the system's own words, without number and path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
