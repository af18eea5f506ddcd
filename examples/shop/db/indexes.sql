-- Constraints between tables, and indexes, on rows that are already there.

ALTER TABLE customer
    ADD UNIQUE (email),
    ADD FOREIGN KEY (country) REFERENCES country;

ALTER TABLE customer_order
    ADD FOREIGN KEY (customer_id) REFERENCES customer;

ALTER TABLE order_line
    ADD PRIMARY KEY (order_id, line),
    ADD FOREIGN KEY (order_id) REFERENCES customer_order ON DELETE CASCADE,
    ADD FOREIGN KEY (product_id) REFERENCES product;

CREATE INDEX ON customer_order (customer_id);
CREATE INDEX ON customer_order (placed);
CREATE INDEX ON order_line (product_id);
CREATE INDEX ON product (category_id) WHERE NOT discontinued;

ANALYZE;
