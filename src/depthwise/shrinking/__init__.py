"""Making a trained model smaller, quicker and cheaper: `shrink`, and what it chooses from."""
