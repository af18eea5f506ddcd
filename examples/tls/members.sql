CREATE TABLE member (
    email  text PRIMARY KEY,
    joined date NOT NULL
);

INSERT INTO member VALUES
    ('ada@example.com', '2023-11-05'),
    ('bruno@example.com', '2024-02-29'),
    ('chiara@example.com', '2025-01-12');
