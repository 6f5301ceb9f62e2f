"""Whatever the user has, made a Dataset: recognised, checked for inconsistencies, split once.

dataset      the noun: Dataset, Split, Problem   summary    it, in a few lines
load         the verb: a name, a path or arrays -> Dataset
formats      which format is this?            readers/   one file for each, into a Raw
duplicates   copies of one another            checks     what is wrong with the data
splits       train, validation, test          cache      decoded once
strata       what a split shares out evenly   inputs     what a model takes in
named        digits, mnist, ...               download   resumed and checked
pictures/    bytes -> pixels, decoded in parallel, batches augmented
tables/      columns, their encoding, blanks, dates, data frames
targets/     the nouns BoxTable, CaptionTable and Pairs, of faces
"""

from depthwise.data.dataset import Dataset, Problem, Split
from depthwise.data.load import load

__all__ = ["Dataset", "Problem", "Split", "load"]
