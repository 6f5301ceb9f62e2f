"""Deep stacking networks."""
