"""Reports: the pages of `choose` and `measure`, with their charts."""
