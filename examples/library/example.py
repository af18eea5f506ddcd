"""Boot a seeded PostgreSQL from Python, query it, and leave nothing behind."""
# ruff: noqa: INP001, T201 -- a script, and it prints

from pg_ephemeral import Definition, boot

definition = (
    Definition()
    .apply_sql_statement("schema", "CREATE TABLE book (title text PRIMARY KEY, year integer)")
    .apply_sql_statement(
        "books",
        "INSERT INTO book VALUES ('Flatland', 1884), ('Through the Looking-Glass', 1871), ('Sylvie and Bruno', 1889)",
    )
)

with boot(definition) as server, server.connect() as connection:
    count, longest = connection.execute("SELECT count(*), max(length(title)) FROM book").fetchone()
    print(f"{count} books, the longest title has {longest} characters")
