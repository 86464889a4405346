-- Make, or bring up to date, the database and the two roles of each service:
--
--     PRAG_PASSWORDS=/run/secrets psql -X -d postgres -f deploy/postgres/databases.sql
--
-- as a superuser, over the server's own socket or TLS. PRAG_PASSWORDS is a folder with one file per
-- role: prag_intake_owner, prag_intake, …, each with the password, or with it in a line for PGPASSFILE.
-- To change a password, change the file and run this again.
--
-- prag_<service>_owner owns the database and runs `python -m <service>.migrate`; prag_<service> is
-- whom its api and worker log in as. What that one may do is granted by the migration, which is
-- told its name in PRAG_DATABASE_APP_ROLE. Between migrations the owner's login can be closed:
-- ALTER ROLE prag_<service>_owner NOLOGIN.

\set ON_ERROR_STOP on
\if :{?prefix}
\else
\set prefix prag_
\endif

-- The passwords below are part of statements.
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_duration_sample = -1;
SET log_transaction_sample_rate = 0;
SET log_min_error_statement = panic;
SET password_encryption TO 'scram-sha-256';

\set service intake
\ir service.sql
\set service referral
\ir service.sql
\set service reintegration
\ir service.sql
\set service analytics
\ir service.sql
