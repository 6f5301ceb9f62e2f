"""Pictures: decoded, resized, augmented."""
