"""Object detection and counting."""
