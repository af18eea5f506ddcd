"""OCI in general: the grammar of references. Knows no PostgreSQL."""
