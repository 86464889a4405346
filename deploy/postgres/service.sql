-- One service's database and roles; databases.sql includes it and says which service.

\set application :prefix :service
\set owner :application '_owner'
\setenv PRAG_ROLE :owner
\set owner_password `sed "s/^[*]:[*]:[^:]*:$PRAG_ROLE://" "${PRAG_PASSWORDS:?}/$PRAG_ROLE"`
\setenv PRAG_ROLE :application
\set application_password `sed "s/^[*]:[*]:[^:]*:$PRAG_ROLE://" "${PRAG_PASSWORDS:?}/$PRAG_ROLE"`
SELECT :'owner_password' IN ('', :'application_password') OR :'application_password' = '' AS is_unsafe
\gset
\if :is_unsafe
\warn no passwords for :owner and :application, or the same one for both
DO 'BEGIN RAISE EXCEPTION ''stopped''; END';
\endif

SELECT format('CREATE ROLE %I', role)
FROM unnest(ARRAY[:'owner', :'application']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role)
\gexec
ALTER ROLE :"owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  PASSWORD :'owner_password';
ALTER ROLE :"application" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  PASSWORD :'application_password';

SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8''', db, :'owner')
FROM (VALUES (:'application')) AS wanted (db)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = db)
\gexec
ALTER DATABASE :"application" OWNER TO :"owner";
REVOKE ALL ON DATABASE :"application" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"application" TO :"application";

SELECT current_database() AS here
\gset
\connect :application
ALTER SCHEMA public OWNER TO :"owner";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM :"application";
GRANT USAGE ON SCHEMA public TO :"application";
\connect :here
-- A new connection, so the settings of databases.sql are said again.
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_duration_sample = -1;
SET log_transaction_sample_rate = 0;
SET log_min_error_statement = panic;
SET password_encryption TO 'scram-sha-256';
