CREATE TABLE exhibit (
    number integer PRIMARY KEY,
    name   text NOT NULL,
    made   integer
);

CREATE TABLE opened (
    at timestamptz NOT NULL
);

CREATE TABLE ticket (
    kind  text PRIMARY KEY,
    price numeric(6, 2) NOT NULL
);
