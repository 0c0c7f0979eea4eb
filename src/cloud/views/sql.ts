/**
 * What a value of a row is to a typed column of a view. SQLite lets any value stand in any column: one that does not
 * fit is null there and no error, and stands in `_fields` as it is. Encodings: `kernel/values.ts`; a text that
 * PostgreSQL could not take never stands for itself there. Their bodies are read when they are made, so that a reader
 * needs no right to our schema.
 */
export const VIEW_FUNCTIONS = `
-- The characters of a number, however it is written; null: no number.
CREATE FUNCTION tidemark.digits_1(v json) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql
  RETURN (CASE json_typeof(v) WHEN 'number' THEN v #>> '{}' WHEN 'boolean' THEN (v #>> '{}')::boolean::int::text
    WHEN 'object' THEN coalesce(v ->> '$int', v ->> '$real') END);

CREATE FUNCTION tidemark.numeric_1(v json) RETURNS numeric IMMUTABLE PARALLEL SAFE LANGUAGE sql
  RETURN (tidemark.digits_1(v)::numeric);

CREATE FUNCTION tidemark.bigint_1(v json) RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql
  RETURN (SELECT CASE WHEN n BETWEEN -9223372036854775808 AND 9223372036854775807 AND n = trunc(n) THEN n::bigint END
  FROM (SELECT tidemark.numeric_1(v) AS n) x);

CREATE FUNCTION tidemark.double_1(v json) RETURNS double precision IMMUTABLE PARALLEL SAFE LANGUAGE sql
  RETURN (tidemark.digits_1(v)::double precision);

CREATE FUNCTION tidemark.boolean_1(v json) RETURNS boolean IMMUTABLE PARALLEL SAFE LANGUAGE sql
  RETURN (CASE tidemark.numeric_1(v) WHEN 0 THEN false WHEN 1 THEN true END);

CREATE FUNCTION tidemark.text_1(v json) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql
  RETURN (CASE json_typeof(v) WHEN 'string' THEN v #>> '{}' WHEN 'null' THEN NULL
    WHEN 'object' THEN CASE WHEN v ->> '$bytes' IS NOT NULL OR v ->> '$text' IS NOT NULL THEN NULL
      ELSE coalesce(v ->> '$int', v ->> '$real', v ->> '$date', v::text) END
    ELSE v::text END);

CREATE FUNCTION tidemark.bytea_1(v json) RETURNS bytea IMMUTABLE PARALLEL SAFE LANGUAGE sql
  RETURN (CASE json_typeof(v) WHEN 'string' THEN convert_to(v #>> '{}', 'UTF8')
    WHEN 'object' THEN decode(coalesce(v ->> '$bytes', v ->> '$text'), 'base64') END);
`
