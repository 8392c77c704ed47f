"""One command a module: `FLAGS`, and `run(app, values, arguments)` that returns the exit code."""
