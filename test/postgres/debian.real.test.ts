import { join } from 'node:path'

import { expect, test } from 'vitest'

import { askNumbers as ask } from './ask.ts'
import { debianPostgres, runDebian } from './debian.ts'
import { startPostgres } from './server.ts'

const ROWS = 'SELECT n FROM t ORDER BY n'

test('a dump of the oldest PostgreSQL goes into another database, a base backup back into its place', async (context) => {
  const bin = debianPostgres()
  if (bin === null) return context.skip(`there is no postgresql of Debian's here`)
  await using server = await startPostgres({ bin, flags: ['fsync=off'] })
  const { url } = server
  expect(await ask(url, `SELECT current_setting('server_version_num')::int / 10000 AS n`)).toEqual([
    Number(bin.split('/').at(-2)),
  ])
  await ask(url, 'CREATE TABLE t AS SELECT 1 AS n')
  const backup = join(server.folder, 'backup')
  runDebian(bin, 'pg_basebackup', '-d', url, '-D', backup, '--checkpoint=fast', '--no-sync')
  await ask(url, 'INSERT INTO t VALUES (2)')

  const dump = join(server.folder, 'dump')
  runDebian(bin, 'pg_dump', '-Fc', '-f', dump, url)
  await ask(url, 'CREATE DATABASE other TEMPLATE template0')
  const other = url.replace(/postgres$/, 'other')
  runDebian(bin, 'pg_restore', '-d', other, dump)
  expect(await ask(other, ROWS)).toEqual([1, 2])

  await server.kill()
  await server.restoreFiles(backup)
  await server.start()
  expect(await ask(url, ROWS)).toEqual([1])
})
