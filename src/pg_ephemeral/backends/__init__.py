"""Where servers run and stages are kept: the protocols, and one module per backend."""
