CREATE TABLE note (
    id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body    text NOT NULL,
    written timestamptz NOT NULL DEFAULT now()
);

INSERT INTO note (body) VALUES ('Milk'), ('Call Inés'), ('Water the tomatoes');
