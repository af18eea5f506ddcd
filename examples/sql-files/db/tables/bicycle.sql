CREATE TABLE bicycle (
    frame_number text PRIMARY KEY,
    owner        text NOT NULL
);
