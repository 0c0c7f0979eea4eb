# Sourced once, when PostgreSQL starts on an empty volume: a role that owns one database and may do nothing else.
psql --no-psqlrc --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres <<'SQL'
\set password `cat "${TIDEMARK_PASSWORD_FILE:-/run/secrets/tidemark-password}"`
CREATE ROLE tidemark LOGIN PASSWORD :'password';
CREATE DATABASE cloud OWNER tidemark TEMPLATE template0 ENCODING 'UTF8';
REVOKE ALL ON DATABASE cloud FROM PUBLIC;
SQL
