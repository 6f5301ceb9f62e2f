"""Whatever the user has, made a Dataset: recognised, checked for inconsistencies, split once.

dataset      the noun: Dataset, Split, Problem   summary    it, in a few lines
boxes_table  the noun BoxTable                pairs      the noun Pairs, of faces
load         the verb: a name, a path or arrays -> Dataset
formats      which format is this?            readers/   one file for each, into a Raw
images       one picture's bytes -> pixels    decode     many, in parallel, into the cache
duplicates   copies of one another            checks     what is wrong with the data
splits       train, validation, test          cache      decoded once
strata       what a split shares out evenly   augment, augment_targets   batches, changed
named        digits, mnist, ...               download   resumed and checked
"""

from depthwise.data.dataset import Dataset, Problem, Split
from depthwise.data.load import load

__all__ = ["Dataset", "Problem", "Split", "load"]
