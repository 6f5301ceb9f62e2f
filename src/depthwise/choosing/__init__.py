"""Which network to ship: build the ladder, drop what cannot fit, train the rest, pick, confirm."""
