-- Tables and types of the shop. Constraints between tables are in indexes.sql, after the data.

CREATE SCHEMA shop;
ALTER DATABASE :"DBNAME" SET search_path = shop, public;
SET search_path = shop, public;

CREATE TYPE order_status AS ENUM ('placed', 'paid', 'shipped', 'returned');

CREATE TABLE country (
    code char(2) PRIMARY KEY,
    name text NOT NULL UNIQUE,
    eu   boolean NOT NULL DEFAULT false
);

CREATE TABLE category (
    id     integer PRIMARY KEY,
    parent integer REFERENCES category,
    name   text NOT NULL
);

CREATE TABLE product (
    id           integer PRIMARY KEY,
    sku          text NOT NULL UNIQUE CHECK (sku ~ '^[A-Z]{3}-[0-9]{4}$'),
    category_id  integer NOT NULL REFERENCES category,
    name         text NOT NULL,
    description  text,
    price        numeric(10, 2) NOT NULL CHECK (price > 0),
    weight_grams integer,
    discontinued boolean NOT NULL DEFAULT false
);

CREATE TABLE customer (
    id      integer PRIMARY KEY,
    email   text NOT NULL,
    name    text NOT NULL,
    country char(2) NOT NULL,
    joined  date NOT NULL
);

CREATE TABLE customer_order (
    id          integer PRIMARY KEY,
    customer_id integer NOT NULL,
    placed      timestamptz NOT NULL,
    status      order_status NOT NULL
);

CREATE TABLE order_line (
    order_id   integer NOT NULL,
    line       smallint NOT NULL,
    product_id integer NOT NULL,
    quantity   smallint NOT NULL CHECK (quantity > 0),
    unit_price numeric(10, 2) NOT NULL
);

CREATE TABLE setting (
    name  text PRIMARY KEY,
    value jsonb NOT NULL
);
