"""Training: the loop, the step, stages, and how long it lasts."""
