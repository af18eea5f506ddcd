CREATE TABLE part (
    code  text PRIMARY KEY,
    name  text NOT NULL,
    price numeric(8, 2) NOT NULL CHECK (price >= 0),
    stock integer NOT NULL DEFAULT 0
);
