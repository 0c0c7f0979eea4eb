import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { compareFiles } from '../src/daemon/compare.ts'
import { startCloudProcess } from './cloud/cloud-process.ts'
import { startFaultyProxy, type FaultyProxy } from './cloud/faulty-proxy.ts'
import { openMachine, type Machine } from './command-line.ts'

/** The first sync of attach and clone through a cloud that fails now and then. */

/** More than one mutation of a first upload holds. */
const ROWS = 40_000
const TABLE = [{ name: 'notes', key: ['id'] }]

/** A cloud in a process of its own, behind a proxy that this machine is set to. */
async function serveBehindProxy(machine: Machine): Promise<FaultyProxy> {
  const data = join(machine.folder, 'cloud')
  const { out } = await machine.tidemark('cloud', 'token', 'create', '--data', data)
  const cloud = await startCloudProcess(data)
  const proxy = await startFaultyProxy(cloud.url)
  await machine.tidemark('config', 'set', 'token', out.trim())
  await machine.tidemark('config', 'set', 'endpoint', proxy.url)
  return {
    ...proxy,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await cloud[Symbol.asyncDispose]()
    },
  }
}

function makeFile(machine: Machine): string {
  const file = join(machine.folder, 'app.db')
  const database = new Database(file)
  database.exec('CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)')
  database.exec(
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
     INSERT INTO notes SELECT i, 'the text of note number ' || i FROM n`,
  )
  database.close()
  return file
}

interface Synced {
  readonly synced: { readonly rows: number; readonly waits: readonly { readonly code: string }[] }
}

test('a first sync goes on after a 503 and after cut connections, and says that it waits and why', async () => {
  await using machine = await openMachine()
  await using proxy = await serveBehindProxy(machine)
  const file = makeFile(machine)

  proxy.decide((path, count) => {
    if (path.endsWith('/status')) return count === 1 ? { status: 503, retryAfter: '1' } : 'pass'
    if (!path.endsWith('/push')) return 'pass'
    return count === 2
      ? { status: 503, retryAfter: '2' }
      : count === 4
        ? 'cut'
        : count === 6
          ? 'lose'
          : 'pass'
  })
  const attached = await machine.tidemark('attach', file, '--space', 's', '--yes')
  expect(attached.err + attached.out).toMatch(/Uploading: .*503.*; trying again in 2 s/)
  expect(attached.err + attached.out).toMatch(/Uploading: .*cannot be reached.*; trying again in 1 s/)
  expect(attached.code).toBe(0)
  expect(attached.out).toMatch(/Uploading: 40,000 rows/)

  const copy = join(machine.folder, 'copy.db')
  proxy.decide((path, count) => {
    if (path.endsWith('/schema')) return count === 1 ? { status: 503 } : 'pass'
    return path.endsWith('/hydrate') && count <= 2 ? { cutAfter: 200_000 } : 'pass'
  })
  const cloned = (await machine.ask('clone', 's', copy)) as Synced
  expect(cloned.synced.rows).toBe(ROWS)
  expect(cloned.synced.waits.map(({ code }) => code)).toEqual(['unavailable', 'network', 'network'])
  expect(compareFiles(file, copy, TABLE)).toEqual([{ table: 'notes', rows: ROWS, differing: 0 }])
})

test('a cloud that stays away ends the first sync, and the same command goes on from there', async () => {
  await using machine = await openMachine()
  await using proxy = await serveBehindProxy(machine)
  const file = makeFile(machine)
  const attach = ['attach', file, '--space', 's', '--yes'] as const

  // More than anybody waits for.
  const busy = { status: 503, retryAfter: '3600' } as const
  proxy.decide((path, count) => (path.endsWith('/push') && count > 2 ? busy : 'pass'))
  const failed = await machine.tidemark(...attach)
  expect(failed.code).toBe(3)
  expect(failed.err).toContain('the same command goes on from where it stopped')
  const told = await machine.tidemark('--json', ...attach)
  expect(told.code).toBe(3)
  expect(JSON.parse(told.out)).toMatchObject({
    error: { code: 'unavailable', details: { next: expect.stringContaining('the same command') } },
  })

  proxy.decide(() => 'pass')
  const { synced } = (await machine.ask(...attach)) as Synced
  expect(synced.rows).toBeGreaterThan(0)
  expect(synced.rows).toBeLessThan(ROWS)
  expect((await machine.tidemark(...attach)).err).toContain('already under sync')

  const copy = join(machine.folder, 'copy.db')
  proxy.decide((path, count) =>
    path.endsWith('/hydrate') ? (count === 1 ? { cutAfter: 200_000 } : busy) : 'pass',
  )
  expect((await machine.tidemark('clone', 's', copy)).code).toBe(3)
  proxy.decide(() => 'pass')
  const rest = (await machine.ask('clone', 's', copy)) as Synced
  expect(rest.synced.rows).toBeGreaterThan(0)
  expect(rest.synced.rows).toBeLessThan(ROWS)
  expect(compareFiles(file, copy, TABLE)).toEqual([{ table: 'notes', rows: ROWS, differing: 0 }])
  expect((await machine.tidemark('clone', 's', copy)).err).toContain('already there')
})

test('one command is one cycle: sync now reads from the cloud once, and sends once', async () => {
  await using machine = await openMachine()
  await using proxy = await serveBehindProxy(machine)
  const file = makeFile(machine)
  expect((await machine.tidemark('attach', file, '--space', 's', '--yes')).code).toBe(0)
  const database = new Database(file)
  database.exec("INSERT INTO notes (text) VALUES ('one more')")
  database.close()
  const before = proxy.asked.length
  expect(await machine.ask('sync', 'now')).toMatchObject({ files: [{ result: { pushed: 1 } }] })
  const asked = proxy.asked.slice(before).filter((path) => /\/(pull|push)$/.test(path))
  expect(asked.map((path) => path.split('/').at(-1))).toEqual(['pull', 'push'])
})

test('Ctrl-C ends the wait at once', async () => {
  await using machine = await openMachine()
  await using proxy = await serveBehindProxy(machine)
  const file = makeFile(machine)
  proxy.decide((path) => (path.endsWith('/push') ? { status: 503, retryAfter: '60' } : 'pass'))
  const attaching = machine.start('attach', file, '--space', 's', '--yes')
  await expect.poll(() => attaching.said(), { timeout: 30_000 }).toContain('trying again in 60 s')
  const { code, err } = await attaching.stop()
  expect(code).toBe(130)
  expect(err).toContain('the same command goes on from where it stopped')
})
