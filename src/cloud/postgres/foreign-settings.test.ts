import pg from 'pg'
import { expect, test } from 'vitest'

import { openTestDatabase } from '../../../test/postgres/database.ts'
import { systemClock } from '../../kernel/clock.ts'
import { openPostgresLog } from '../log/postgres.ts'
import { migrate } from './migrate.ts'
import { MIGRATIONS } from './migrations.ts'
import { openDatabase } from './pool.ts'

/** What an operator may have set for everything else that lives in the database. */
const SETTINGS = `
  array_nulls = off; default_transaction_isolation = 'serializable'; default_transaction_read_only = on;
  default_transaction_deferrable = on; search_path = others, pg_catalog; standard_conforming_strings = off;
  bytea_output = 'escape'; DateStyle = 'SQL, DMY'; TimeZone = 'Asia/Kathmandu'; IntervalStyle = 'iso_8601';
  extra_float_digits = -15; row_security = off; transform_null_equals = on; statement_timeout = '5s'; lock_timeout = '5s';
  client_encoding = 'LATIN1'; enable_indexscan = off; plan_cache_mode = force_custom_plan`

/** Functions and operators that fit better than PostgreSQL's own, and names of its tables. */
const OTHERS = `
  CREATE SCHEMA others;
  CREATE FUNCTION others.to_json(text) RETURNS json LANGUAGE sql AS $$ SELECT '"theirs"'::json $$;
  CREATE FUNCTION others.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS $$ SELECT 'theirs' $$;
  CREATE FUNCTION others.octet_length(text) RETURNS int LANGUAGE sql AS $$ SELECT 0 $$;
  CREATE FUNCTION others.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT ''::bytea $$;
  CREATE FUNCTION others.theirs(text, bigint) RETURNS text LANGUAGE sql AS $$ SELECT 'theirs' $$;
  CREATE OPERATOR others.|| (FUNCTION = others.theirs, LEFTARG = text, RIGHTARG = bigint);
  CREATE FUNCTION others.differs(bigint, bigint) RETURNS boolean LANGUAGE sql AS $$ SELECT false $$;
  CREATE OPERATOR others.<> (FUNCTION = others.differs, LEFTARG = bigint, RIGHTARG = bigint);
  CREATE TABLE others.level (number int); CREATE TABLE others.records (); CREATE TABLE others.pg_database (datname text, oid int)`

test('I10: what is set for the database, and what others made in it, changes nothing', async () => {
  await using database = await openTestDatabase()
  const admin = new pg.Client({ connectionString: database.url })
  await admin.connect()
  await admin.query(OTHERS)
  const name = new URL(database.url).pathname.slice(1)
  for (const setting of SETTINGS.split(';')) await admin.query(`ALTER DATABASE ${name} SET ${setting}`)
  await admin.end()

  await using pool = openDatabase(database)
  await migrate(pool, MIGRATIONS, systemClock)
  await using log = openPostgresLog({ database: pool, clock: systemClock })
  await log.ensureSpace('space')
  const push = (replica: string, mutation: number, changes: readonly object[]) =>
    log.push('space', {
      request: { space: 'name', replica, mutation, cursor: null, changes: changes as never },
      hash: String(mutation),
    })
  const put = { table: 'NULL', op: 'put', base: 0, hlc: 5 } as const
  const fields = { a: 'NULL', b: null, c: 'ä\u0001€😀\\"', d: 5e-324, e: '' }
  await push('one', 1, [
    { ...put, key: '["1"]', fields, claims: { 'by a': '"x"' } },
    { ...put, key: '["2"]', fields: {} },
  ])
  const edited = { ...put, base: 2, fields: { a: 'edited' } }
  const answer = await push('two', 1, [
    { ...edited, key: '["1"]' },
    { ...put, key: '["2"]', op: 'delete', base: 2 },
    { ...put, key: '["3"]', fields: {}, claims: { 'by a': '"x"' } },
    { ...put, key: '["1é"]', base: 1, fields: {} },
  ])
  expect(answer.results.map(({ status }) => status)).toEqual(['ok', 'ok', 'taken', 'conflict'])
  const cursor = { epoch: answer.epoch, generation: answer.generation.id, version: 0, high: 0 }
  const { records, head } = await log.pull('space', { space: 'name', replica: 'three', cursor })
  expect(head).toBe(4)
  expect(records).toEqual([
    {
      table: 'NULL',
      key: '["1"]',
      version: 3,
      hlc: 6,
      by: 'two',
      fields: { ...fields, a: 'edited' },
      since: [1, 5],
      fieldVersions: { a: [3, 6] },
    },
    { table: 'NULL', key: '["2"]', version: 4, hlc: 5, by: 'two', deleted: true },
  ])
  const page = await log.hydratePage('space', null, 10)
  expect(page.lines.map((line) => JSON.parse(line))).toEqual(records.slice(0, 1))
})
