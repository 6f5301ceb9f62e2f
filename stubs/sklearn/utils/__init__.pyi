from typing import Any

import numpy as np
from sklearn.utils.validation import check_array as check_array
from sklearn.utils.validation import check_X_y as check_X_y

class InputTags:
    sparse: bool
    allow_nan: bool

class TargetTags:
    required: bool
    multi_output: bool

class ClassifierTags:
    multi_class: bool
    multi_label: bool
    poor_score: bool

class RegressorTags:
    poor_score: bool

class Tags:
    estimator_type: str | None
    input_tags: InputTags
    target_tags: TargetTags
    classifier_tags: ClassifierTags | None
    regressor_tags: RegressorTags | None
    non_deterministic: bool
    requires_fit: bool

def check_random_state(seed: Any) -> np.random.RandomState: ...
