-- Money that is moved is neither made nor lost.

SELECT transfer('wages', 'rent', 640);

DO $$
BEGIN
    ASSERT (SELECT balance FROM account WHERE name = 'rent') = 640;
    ASSERT (SELECT balance FROM account WHERE name = 'wages') = 1160;
    ASSERT (SELECT sum(balance) FROM account) = 2050;
END;
$$;
