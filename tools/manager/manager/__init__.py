"""The developers' tool: checks of pg-ephemeral from outside, as its users run it. It imports nothing of the product."""
