-- What the shop's pages and reports read.

CREATE VIEW order_total AS
SELECT o.id, o.customer_id, o.placed, o.status, sum(l.quantity * l.unit_price) AS total
FROM customer_order AS o
JOIN order_line AS l ON l.order_id = o.id
GROUP BY o.id;

CREATE VIEW monthly_revenue AS
SELECT date_trunc('month', placed AT TIME ZONE 'UTC')::date AS month,
       count(*) AS orders,
       sum(total) AS revenue
FROM order_total
WHERE status <> 'returned'
GROUP BY 1;

CREATE MATERIALIZED VIEW best_seller AS
SELECT p.id, p.sku, p.name, sum(l.quantity) AS sold, sum(l.quantity * l.unit_price) AS revenue
FROM product AS p
JOIN order_line AS l ON l.product_id = p.id
GROUP BY p.id
ORDER BY revenue DESC, p.id
LIMIT 10;
