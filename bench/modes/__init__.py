"""One module a question. Each has `run`, which measures and yields results, one mapping a measurement."""
