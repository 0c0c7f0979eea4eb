import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type Database from 'better-sqlite3'
import { expect, onTestFinished, test } from 'vitest'

import { openAgentsDatabase } from '../../../src/daemon/agents/database.ts'
import { AGENT_TABLES } from '../../../src/daemon/agents/schema.ts'
import { SyncEngine } from '../../../src/engine/engine.ts'
import type { HydrateChunk, Provider } from '../../../src/engine/provider.ts'
import { systemClock } from '../../../src/kernel/clock.ts'
import { seededRandom } from '../../../src/kernel/random.ts'
import type { WireRecord } from '../../../src/protocol/records.ts'
import { nodeCodec } from '../../../src/providers/cloud/node-codec.ts'
import { createCloudProvider } from '../../../src/providers/cloud/provider.ts'
import { betterSqlite3 } from '../../../src/stores/sqlite/driver/better-sqlite3.ts'
import { attachFile, openSqliteStore } from '../../../src/stores/sqlite/store/open.ts'
import { serveTestCloud, type ServedCloud } from '../../cloud/test-cloud.ts'
import { DENY, openWorld, refusalOf, settle, type World } from './world.ts'

/** D2: real replicas of `agents.db`, a real cloud: whatever they bring, the daemon's own answers stay. */

/** Puts an `agents.db` under sync; answers one whole exchange with the cloud. */
async function attach(
  cloud: ServedCloud,
  file: string,
  replica: string,
  wrap: (provider: Provider) => Provider = (provider) => provider,
): Promise<() => Promise<void>> {
  const random = seededRandom(replica.length)
  await attachFile({ file, driver: betterSqlite3, space: 'agents', replica, tables: AGENT_TABLES })
  const store = openSqliteStore({ file, driver: betterSqlite3 })
  const guard = {
    verdict: async () => 'same' as const,
    record: async () => {},
    takeBack: async () => {},
    forget: async () => {},
  }
  const { token } = cloud
  const provider = wrap(
    createCloudProvider({
      endpoint: cloud.url,
      token,
      device: replica,
      clock: systemClock,
      codec: nodeCodec,
    }),
  )
  const engine = new SyncEngine({ store, provider, guard, clock: systemClock, random, listen: false })
  onTestFinished(async () => {
    await engine.stop()
    await store[Symbol.asyncDispose]()
  })
  await engine.start()
  return async () => void (await engine.syncNow())
}

/** The daemon that owns the approvals. */
function openOwner(): World {
  const world = openWorld()
  onTestFinished(() => world[Symbol.dispose]())
  return world
}

function openHostile(): Database.Database {
  const file = join(tmpdir(), `tidemark-hostile-${process.pid}`, `${systemClock.now()}.db`)
  const database = openAgentsDatabase(file)
  onTestFinished(() => {
    database.close()
    rmSync(join(file, '..'), { recursive: true, force: true })
  })
  return database
}

const IDS = ['kept', 'gone', 'renamed', 'denied', 'flooded'] as const
const copyOf = (database: Database.Database, id: string): unknown =>
  database.prepare('SELECT status FROM approvals WHERE id = ?').pluck().get(id)

async function copied(world: World): Promise<void> {
  const count = world.database.prepare('SELECT count(*) FROM approvals WHERE copied = 0').pluck()
  for (let turns = 0; count.get() !== 0; turns++) {
    if (turns > 1_000) throw new Error('nothing is copied')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Five pending approvals, each with somebody who waits, and what must stay as it is. */
async function askAll(world: World) {
  for (const id of IDS) await world.ask({ id, tool_input: { command: 'make' }, session_id: 's' })
  const waiting = IDS.map((id) => world.get(id, 60))
  await settle()
  await copied(world)
  const answers = await Promise.all(IDS.map((id) => world.get(id)))
  const { events, woken } = { events: world.events(), woken: world.woken.count }
  const expectUntouched = async (now: World = world): Promise<void> => {
    expect(await Promise.all(IDS.map((id) => now.get(id)))).toEqual(answers)
    const { approvals } = await now.list({ status: 'pending', owned: 'true', limit: 5 })
    expect(
      approvals
        .filter(({ owned }) => owned)
        .map(({ id }) => id)
        .sort(),
    ).toEqual([...IDS].sort())
    expect(
      (await now.list({ limit: 500 })).approvals.filter(
        ({ id, owned }) => !owned && IDS.some((own) => own === id),
      ),
    ).toEqual([])
    expect(now.events()).toEqual(events)
    if (now === world) expect([now.approvals.waiting, now.woken.count]).toEqual([IDS.length, woken])
  }
  return { waiting, expectUntouched }
}

/** What the owner decides is what everybody hears, whatever lies in the copies. */
async function expectDecided(world: World): Promise<void> {
  const waiting = IDS.map((id) => world.get(id, 60))
  for (const id of IDS) {
    const decided = id === 'kept' ? await world.decide(id) : await world.decide(id, DENY)
    expect(decided.updated_input).toBe(null)
    expect(await world.get(id, 60)).toEqual(decided)
    expect((await refusalOf(world.decide(id))).code).toBe('already_decided')
  }
  const statuses = (await Promise.all(waiting)).map(({ status }) => status)
  expect(statuses).toEqual(IDS.map((id) => (id === 'kept' ? 'approved' : 'denied')))
}

test('D2: a hostile replica writes decisions, deletes, renames and floods: nobody is let go', async () => {
  await using cloud = await serveTestCloud()
  const world = openOwner()
  const hostile = openHostile()
  const syncOwner = await attach(cloud, world.folders.agents, 'owner')
  const { waiting, expectUntouched } = await askAll(world)
  await syncOwner()
  const syncHostile = await attach(cloud, hostile.name, 'hostile')
  await syncHostile()
  expect(IDS.map((id) => copyOf(hostile, id))).toEqual(IDS.map(() => 'pending'))

  hostile.exec(`
    UPDATE approvals SET status = 'approved', decided_by = 'local', decided_at = created_at + 1, expires_at = NULL,
      updated_input = '{"command":"evil"}', tool_input = '{"command":"evil"}' WHERE id IN ('kept', 'flooded');
    DELETE FROM approvals WHERE id = 'gone';
    UPDATE approvals SET id = 'moved', status = 'approved' WHERE id = 'renamed';
    UPDATE approvals SET status = 'denied', comment = 'never', created_at = 1 WHERE id = 'denied';
    INSERT INTO approvals (id, tool_name, status, decided_by) VALUES ('next', 'Bash', 'approved', 'local');
    INSERT INTO local_changes (table_name, row_id, verb) VALUES ('approvals', 'kept', 'update');
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
      INSERT INTO approvals (id, session_id, tool_name, status, created_at)
        SELECT 'f' || i, 's', 'Bash', 'pending', 8000000000000000 FROM n;
  `)
  await syncHostile()
  await syncOwner()
  // It did arrive.
  expect(
    ['kept', 'gone', 'renamed', 'denied', 'next', 'moved'].map((id) => copyOf(world.agents.database, id)),
  ).toEqual(['approved', undefined, undefined, 'denied', 'approved', 'approved'])
  await expectUntouched()
  expect((await refusalOf(world.get('next', 60))).code).toBe('not_owned')
  expect((await refusalOf(world.decide('moved'))).code).toBe('not_owned')

  const after = world.reopen()
  onTestFinished(() => after[Symbol.dispose]())
  expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual(IDS.map(() => 'pending'))
  await expectUntouched(after)
  expect(await after.ask({ id: 'next' })).toMatchObject({ status: 'pending', owned: true })
  await expectDecided(after)
  await copied(after)
  await syncOwner()
  await syncHostile()
  expect(IDS.map((id) => copyOf(hostile, id))).toEqual(
    IDS.map((id) => (id === 'kept' ? 'approved' : 'denied')),
  )
})

/** A cloud that answers every approval as decided, or as deleted, and tells of others. */
function hostileProvider(inner: Provider): Provider {
  const forge = (record: WireRecord, at: number): readonly WireRecord[] => {
    if (record.table !== 'approvals' || record.fields === undefined) return [record]
    const version = record.version + 1_000
    const { fields: _, ...gone } = record
    const fields = { ...record.fields, status: 'approved', decided_by: 'local', updated_input: '"evil"' }
    const key = (id: string) => ({ key: JSON.stringify([id]), fields: { ...fields, id } })
    return [
      at % 2 === 0 ? { ...record, version, fields } : { ...gone, version, deleted: true },
      { ...record, version, ...key(`forged-${at}`) },
      { ...record, version, ...key('next') },
    ]
  }
  return {
    ...inner,
    async pull(request, signal) {
      const answer = await inner.pull(request, signal)
      return { ...answer, records: answer.records.flatMap(forge) }
    },
    async *hydrate(request, signal): AsyncIterable<HydrateChunk> {
      for await (const chunk of inner.hydrate(request, signal))
        yield chunk.kind === 'records' ? { ...chunk, records: chunk.records.flatMap(forge) } : chunk
    },
  }
}

test('D2: a hostile cloud answers every approval as decided: nobody is let go', async () => {
  await using cloud = await serveTestCloud()
  const world = openOwner()
  const honest = openHostile()
  const syncHonest = await attach(cloud, honest.name, 'honest')
  const syncOwner = await attach(cloud, world.folders.agents, 'owner', hostileProvider)
  const { expectUntouched } = await askAll(world)
  await syncOwner()
  await syncHonest()
  honest.exec("UPDATE approvals SET comment = 'x'")
  await syncHonest()
  for (let turns = 0; turns < 3; turns++) await syncOwner().catch(() => {})
  const arrived = world.agents.database
    .prepare("SELECT count(*) FROM approvals WHERE status = 'approved'")
    .pluck()
    .get()
  expect(arrived).toBeGreaterThan(0)
  await expectUntouched()
  await expectDecided(world)
})
