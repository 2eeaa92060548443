"""Training measured: our trainer beside TRL and LLaMA-Factory. Does not know how any of them trains."""
