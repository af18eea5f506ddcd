CREATE TABLE repair (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    frame_number text NOT NULL REFERENCES bicycle,
    work         text NOT NULL,
    part         text REFERENCES part,
    finished     date
);
