import { join } from 'node:path'

import { expect, test } from 'vitest'

import { startBalancer } from '../../../../test/cloud/balancer.ts'
import { debianPostgres, runDebian } from '../../../../test/postgres/debian.ts'
import {
  askDatabase,
  generationsOf,
  openNode,
  persist,
  pullOf,
} from '../../../../test/postgres/running-node.ts'
import { startPostgres } from '../../../../test/postgres/server.ts'
import { codeOf, put, Reader } from '../../../testing/log-contract/harness.ts'

const SPACE = 'space-1'
const portOf = (url: string) => Number(new URL(url).port)

test('I11: a standby that takes over, and lacks the last commits, begins a generation', async (context) => {
  const bin = debianPostgres()
  if (bin === null) return context.skip(`there is no postgresql of Debian's here`)
  await using primary = await startPostgres({ bin, flags: ['fsync=off'] })
  await using standby = await startPostgres({ bin, flags: ['fsync=off'] })
  // Nodes know one address, and who answers there changes, as behind a name or a pooler.
  let leader = portOf(primary.url)
  await using address = await startBalancer(() => [leader])
  const url = `postgres://postgres@127.0.0.1:${address.port}/postgres`
  await using node = await openNode(url)
  await node.log.ensureSpace(SPACE)
  const a = new Reader(node.log, 'a', SPACE)
  const b = new Reader(node.log, 'b', SPACE)
  await a.start()
  await a.write(put('1', 0, { x: 1 }))
  await b.start()
  const before = await generationsOf(node.log, SPACE)

  await standby.stop()
  const copy = join(primary.folder, 'standby')
  runDebian(
    bin,
    'pg_basebackup',
    '-d',
    primary.url,
    '-D',
    copy,
    '-R',
    '-X',
    'stream',
    '-c',
    'fast',
    '--no-sync',
  )
  await standby.restoreFiles(copy)
  await standby.start()
  const heads = 'SELECT head FROM tidemark.spaces'
  await a.write(put('2', 0, { x: 2 }))
  await expect.poll(() => askDatabase(standby.url, heads), { timeout: 30_000 }).toEqual([{ head: '2' }])
  // What comes now does not reach it.
  await standby.stop()
  await a.write(put('3', 0, { x: 3 }))
  await primary.kill()
  await standby.start()
  leader = portOf(standby.url)
  address.cut()
  // Not promoted yet: nothing is answered that its generation does not stand behind.
  expect(await codeOf(node.log.push(SPACE, pushOf('c')))).toBe('unavailable')
  await askDatabase(standby.url, 'SELECT pg_promote()')

  expect(await codeOf(persist(() => node.log.pull(SPACE, pullOf(a))))).toBe('lost_history')
  const after = await generationsOf(node.log, SPACE)
  expect(after.slice(0, -1)).toEqual(before)
  expect((await b.pull()).records).toMatchObject([{ key: '["2"]' }])
  await b.write(put('4', 0, { x: 4 }))
  expect(await generationsOf(node.log, SPACE)).toEqual(after)
})

const pushOf = (replica: string) => {
  const changes = [put('from standby', 0, { x: 0 })]
  return { request: { space: 'n', replica, mutation: 1, cursor: null, changes }, hash: 'h' }
}

test('I11: pg_dump --data-only, put back into a server that runs on, begins a generation', async (context) => {
  const bin = debianPostgres()
  if (bin === null) return context.skip(`there is no postgresql of Debian's here`)
  await using server = await startPostgres({ bin, flags: ['fsync=off'] })
  await using node = await openNode(server.url)
  await node.log.ensureSpace(SPACE)
  const a = new Reader(node.log, 'a', SPACE)
  await a.start()
  await a.write(put('1', 0, { x: 1 }))
  const before = await generationsOf(node.log, SPACE)
  const dump = join(server.folder, 'dump')
  const onlyOurs = ['-d', server.url, '--data-only', '-n', 'tidemark']
  runDebian(bin, 'pg_dump', ...onlyOurs, '-Fc', '-f', dump)
  await a.write(put('2', 0, { x: 2 }))
  const tables = await askDatabase<{ readonly name: string }>(
    server.url,
    `SELECT 'tidemark.' || quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'tidemark'`,
  )
  await askDatabase(server.url, `TRUNCATE ${tables.map(({ name }) => name).join(', ')}`)
  runDebian(bin, 'pg_restore', ...onlyOurs, '--exit-on-error', dump)
  expect(await codeOf(node.log.pull(SPACE, pullOf(a)))).toBe('lost_history')
  expect((await generationsOf(node.log, SPACE)).slice(0, -1)).toEqual(before)
  // And a database made from the whole dump is a copy with a history of its own.
  const whole = join(server.folder, 'whole')
  runDebian(bin, 'pg_dump', '-Fc', '-f', whole, server.url)
  await askDatabase(server.url, 'CREATE DATABASE other TEMPLATE template0')
  const other = server.url.replace(/postgres$/, 'other')
  runDebian(bin, 'pg_restore', '-d', other, whole)
  const inOne = await generationsOf(node.log, SPACE)
  await using copy = await openNode(other)
  expect((await generationsOf(copy.log, SPACE)).slice(0, -1)).toEqual(inOne)
})
