CREATE TABLE account (
    name    text PRIMARY KEY,
    balance numeric(12, 2) NOT NULL CHECK (balance >= 0)
);

CREATE FUNCTION transfer(source text, target text, amount numeric) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF amount <= 0 THEN
        RAISE 'an amount of % cannot be transferred', amount;
    END IF;
    UPDATE account SET balance = balance - amount WHERE name = source;
    UPDATE account SET balance = balance + amount WHERE name = target;
END;
$$;
