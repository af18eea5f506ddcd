"""PostgreSQL in general: find, initialise, start, connect. Knows no images."""
