-- No more can be taken from an account than is there, and nothing can be moved backwards.

DO $$
BEGIN
    BEGIN
        PERFORM transfer('savings', 'rent', 250.01);
    EXCEPTION
        WHEN check_violation THEN
            NULL;
    END;
    ASSERT (SELECT balance FROM account WHERE name = 'savings') = 250, 'savings are overdrawn';

    BEGIN
        PERFORM transfer('savings', 'rent', -1);
        ASSERT false, 'a negative amount was transferred';
    EXCEPTION
        WHEN raise_exception THEN
            NULL;
    END;
END;
$$;
