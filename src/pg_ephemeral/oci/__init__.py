"""OCI in general: references, images, and the stores that keep them. Knows no PostgreSQL."""
