CREATE TABLE station (
    code char(3) PRIMARY KEY,
    name text NOT NULL
);

CREATE TABLE measurement (
    station char(3) REFERENCES station,
    day     date,
    celsius numeric(4, 1) NOT NULL,
    PRIMARY KEY (station, day)
);

INSERT INTO station VALUES ('ESN', 'Essen'), ('PRT', 'Porto'), ('KNZ', 'Kanazawa');
