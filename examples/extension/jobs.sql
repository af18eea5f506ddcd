CREATE TABLE visit (
    page text NOT NULL,
    at   timestamptz NOT NULL DEFAULT now()
);

SELECT cron.schedule('forget old visits', '0 3 * * *', $$DELETE FROM visit WHERE at < now() - interval '30 days'$$);
