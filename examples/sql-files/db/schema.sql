-- The tables in their order, and a view on them.

\ir tables/bicycle.sql
\ir tables/part.sql
\ir tables/repair.sql

CREATE VIEW open_repair AS
SELECT frame_number, owner, work
FROM repair
JOIN bicycle USING (frame_number)
WHERE finished IS NULL;
