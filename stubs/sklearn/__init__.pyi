# What depthwise uses of scikit-learn's base classes and checks: it is untyped itself, and a class
# whose base is untyped is `Any` to the type checker. The rest of it stays untyped (pyproject.toml).
