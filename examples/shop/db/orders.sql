-- Customers, orders and their lines: the same rows every time, since everything follows from the row's number.
-- :customers and :orders are given on psql's command line.

BEGIN;

WITH given (names) AS (
    SELECT ARRAY['Ada', 'Bruno', 'Chiara', 'Dmitri', 'Élodie', 'Farid', 'Grete', 'Hugo', 'Inés', 'Jürgen', 'Kaja', 'Liam']
), family (names) AS (
    SELECT ARRAY['Almeida', 'Berg', 'Costa', 'Dubois', 'Eriksen', 'Fischer', 'García', 'Horvat', 'Ivanova', 'Jansen',
                 'Kowalski', 'O''Brien', 'Müller']
), country_code (codes) AS (
    SELECT array_agg(code ORDER BY code) FROM country
)
INSERT INTO customer (id, email, name, country, joined)
SELECT i,
       'customer' || i || '@example.com',
       given.names[1 + i % cardinality(given.names)] || ' ' || family.names[1 + i % cardinality(family.names)],
       codes[1 + i * 7 % cardinality(codes)],
       date '2023-01-01' + i * 37 % 700
FROM generate_series(1, :customers) AS i, given, family, country_code;

INSERT INTO customer_order (id, customer_id, placed, status)
SELECT i,
       1 + i::bigint * 7919 % :customers,
       timestamptz '2025-01-01 08:00+00' + i * interval '43 minutes 17 seconds',
       CASE WHEN i % 29 = 0 THEN 'returned'
            WHEN i > :orders * 0.99 THEN 'placed'
            WHEN i > :orders * 0.97 THEN 'paid'
            ELSE 'shipped' END::order_status
FROM generate_series(1, :orders) AS i;

WITH catalogue AS (
    SELECT row_number() OVER (ORDER BY id) - 1 AS position, count(*) OVER () AS size, id, price
    FROM product
    WHERE NOT discontinued
)
INSERT INTO order_line (order_id, line, product_id, quantity, unit_price)
SELECT i, line, catalogue.id, 1 + (i + line) % 4, catalogue.price
FROM generate_series(1, :orders) AS i
CROSS JOIN LATERAL generate_series(1, 1 + i % 4) AS line
JOIN catalogue ON catalogue.position = (i::bigint * 31 + line * 17) % catalogue.size;

COMMIT;
