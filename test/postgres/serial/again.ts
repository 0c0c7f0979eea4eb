import { expect } from 'vitest'

import { decideBatch } from '../../../src/cloud/log/batch.ts'
import { claimId } from '../../../src/cloud/log/claims.ts'
import { listClaims, rowId } from '../../../src/cloud/log/standing.ts'
import { readView } from '../../../src/cloud/log/postgres/view.ts'
import { openDatabase } from '../../../src/cloud/postgres/pool.ts'
import type { PushResult } from '../../../src/protocol/push.ts'
import { PlainSpace } from '../../cloud/plain-space.ts'
import type { LogNodes } from '../log-nodes.ts'
import { mutationId } from './nodes.ts'
import type { SentBatch, SentMutation, SerialRun } from './run.ts'
import { readTold, type Told } from './told.ts'

/** What was decided: a repeat shows rows as they are by then. */
const bare = (results: readonly PushResult[]): readonly object[] =>
  results.map((result) => {
    const { current: _, ...rest } = { current: null, ...result }
    return rest
  })

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value)) as unknown

/** Decides everything once more, one after the other in the order of commits, and compares. */
export async function decideAgain(on: LogNodes, space: string, run: SerialRun): Promise<PlainSpace> {
  const model = new PlainSpace()
  const left = new Set(run.mutations.keys())
  /** The first is not told of. */
  let generation: string | null = null
  for (const commit of await readTold(on.admin, space)) {
    const pushes = commit.filter(({ kind }) => kind === 'push').map(({ name, n }) => mutationId(name, n))
    const [batched] = commit.filter(({ kind }) => kind === 'batch')
    if (pushes.length > 0) pushAgain(model, run, pushes, left, generation)
    else if (batched !== undefined) batchAgain(model, run, batched)
    for (const { kind, name, key, n } of commit) {
      if (kind === 'gone') {
        expect(model.standing(name, key)?.record.version).toBe(n)
        model.drop(name, key)
      }
      if (kind === 'floor') model.floor = n
      if (kind === 'generation') generation = name
      if (kind === 'head') expect(model.head).toBe(n)
    }
  }
  expect([...left]).toEqual([])
  await compareWithDatabase(on, space, model)
  compareWithReader(run, model)
  return model
}

function pushAgain(
  model: PlainSpace,
  run: SerialRun,
  ids: readonly string[],
  left: Set<string>,
  generation: string | null,
): void {
  const committed = run.nodes.committed(ids[0] as string)
  expect(committed?.mutations.toSorted()).toEqual(ids.toSorted())
  for (const id of committed?.mutations ?? []) {
    // Each has its effect once (I3).
    expect(left.delete(id)).toBe(true)
    const { requests, answers, once } = run.mutations.get(id) as SentMutation
    const changes = requests.flatMap((request) => request.changes)
    const [{ replica, force }] = requests as [(typeof requests)[0]]
    model.now = committed?.now ?? 0
    const { results } = model.push({ replica, force: force === true, changes })
    expect(answers.length).toBeGreaterThan(0)
    for (const answer of answers) expect(plain(bare(answer.results))).toEqual(plain(bare(results)))
    if (!once || run.nodes.unheard.has(id)) continue
    expect(plain(answers[0]?.results)).toEqual(plain(results))
    expect(answers[0]?.head).toBe(model.head)
    // Versions of one generation are never told as those of another (I11).
    if (generation !== null) expect(answers[0]?.generation.id).toBe(generation)
  }
}

function batchAgain(model: PlainSpace, run: SerialRun, { key }: Told): void {
  const { batch } = JSON.parse(key) as { readonly batch: number }
  const { rows, now, stands } = run.batches[batch] as SentBatch
  model.now = now
  const decision = decideBatch(rows, model.asView(), [])
  model.write(decision.writes, decision.head)
  if (stands !== null) expect(stands).toEqual(decision.stands)
}

async function compareWithDatabase(on: LogNodes, space: string, model: PlainSpace): Promise<void> {
  const expected = model.standings()
  const held = model.held()
  const reads = { rows: expected.map(({ record }) => record), claims: held }
  await using pool = openDatabase(on)
  const view = await readView(pool, space, [], reads)
  expect(plain(view?.standings)).toEqual(plain(expected))
  expect(view?.holders).toEqual(held.map(({ key }) => key))
  expect(view?.about).toMatchObject({ head: model.head, floor: model.floor })
  const claimed = expected.flatMap(({ record, claims }) =>
    listClaims(claims).map((claim) => claimId(record.table, claim)),
  )
  expect(claimed.toSorted()).toEqual(held.map((claim) => claimId(claim.table, claim)).toSorted())
  const count = async (table: string): Promise<number> => {
    const { rows } = await on.admin.query<{ count: string }>(
      `SELECT count(*) FROM tidemark.${table} x JOIN tidemark.spaces s ON s.no = x.space WHERE s.id = $1`,
      [space],
    )
    return Number(rows[0]?.count)
  }
  expect(await count('records')).toBe(expected.length)
  expect(await count('claims')).toBe(held.length)
  expect(await count('staged')).toBe(0)
  const { rows: tables } = await on.admin.query<{ name: string; live: string; buried: string }>(
    `SELECT t.name, t.live, t.buried FROM tidemark.tables t JOIN tidemark.spaces s ON s.no = t.space WHERE s.id = $1`,
    [space],
  )
  const counts = tables.map(({ name, live, buried }) => [
    name,
    { live: Number(live), buried: Number(buried) },
  ])
  expect(Object.fromEntries(counts)).toMatchObject(Object.fromEntries(model.counts()))
  const total = tables.reduce((sum, { live, buried }) => sum + Number(live) + Number(buried), 0)
  expect(total).toBe(expected.length)
}

/** I4: who followed has every live row, at its version, and no row that was deleted since. */
function compareWithReader({ followed }: SerialRun, model: PlainSpace): void {
  const live = model.standings().filter(({ record }) => record.deleted !== true)
  for (const { record } of live)
    expect(plain(followed.get(rowId(record.table, record.key)))).toEqual(plain(record))
  const seen = [...followed.values()].filter(({ deleted }) => deleted !== true)
  expect(seen.length).toBe(live.length)
}
