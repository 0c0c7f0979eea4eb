import { randomInt, type Random } from '../../src/kernel/random.ts'
import { reconcileRecords } from '../../src/engine/reconcile.ts'
import type { ResolverSet } from '../../src/engine/resolvers.ts'
import type { Publication, PublishResult, Store } from '../../src/engine/store.ts'
import type { PushResult } from '../../src/protocol/push.ts'
import type { Change, WireRecord } from '../../src/protocol/records.ts'
import type { SchemaTable } from '../../src/protocol/schema.ts'
import { randomRow } from './sides.ts'

/** What the cloud may say to a change. */
export function answerOf(change: Change, version: number, random: Random): PushResult {
  const roll = randomInt(random, 10)
  const { table, key } = change
  const id = (JSON.parse(key) as readonly [string])[0]
  const other: WireRecord = {
    table,
    key,
    version: version + 40,
    hlc: version,
    by: 'b',
    fields: randomRow(table, id, random),
  }
  if (roll < 5) return { status: 'ok', version }
  if (roll === 5) {
    const current = { ...other, version, fields: { ...other.fields, ...change.fields } }
    return change.op === 'delete' ? { status: 'ok', version } : { status: 'ok', version, current }
  }
  if (roll === 6) return { status: 'conflict', current: other }
  if (roll === 7) return { status: 'conflict', current: null }
  if (roll === 8) return { status: 'rejected', code: 'c', message: 'm' }
  // Stores name their claims themselves.
  const [[index] = []] = Object.entries(change.claims ?? {}).sort(([, a], [, b]) =>
    String(a) < String(b) ? -1 : 1,
  )
  return index === undefined
    ? { status: 'ok', version }
    : { status: 'taken', index, by: '["z"]', current: null }
}

export const tablesOf = async (store: Store): Promise<ReadonlyMap<string, SchemaTable>> =>
  new Map((await store.schema()).tables.map((table) => [table.name, table]))

export async function pull(
  store: Store,
  records: readonly WireRecord[],
  resolvers: ResolverSet,
  rest: Partial<Publication>,
): Promise<unknown> {
  const touched = await store.readTouched(records)
  const context = { tables: await tablesOf(store), resolvers }
  const reconciled = await reconcileRecords(records, touched, context)
  return publish(store, { ...reconciled, ...rest })
}

export async function publish(store: Store, publication: Publication): Promise<unknown> {
  const result: PublishResult = await store.publish(publication)
  return result.status === 'done' ? { ...result, lockMs: 0 } : result.status
}
