import { expect } from 'vitest'

import { keyOf } from '../../kernel/keys.ts'
import { canonicalJson, type Encoded, type Fields } from '../../kernel/values.ts'
import type { Change, Cursor, WireRecord } from '../../protocol/records.ts'
import type { InboxDraft } from '../../engine/inbox.ts'
import { changeOf } from '../../engine/push.ts'
import type {
  AcknowledgedRow,
  LocalRow,
  MergedRow,
  Publication,
  PublishResult,
  Store,
} from '../../engine/store.ts'
import type { OpenStore, StoreHarness } from './harness.ts'
import { TABLES } from './tables.ts'

/** What the tests of the contract say in one line each: the engine's and the cloud's part of a cycle. */

export const SPACE = 'space'
export const REPLICA = 'replica-a'
/** No limit that a test could meet. */
const ALL = { rows: 1_000, bytes: 1_000_000_000 }

export const openFresh = (
  open: OpenStore,
  rows: { readonly [table: string]: readonly Fields[] } = {},
): Promise<StoreHarness> => open({ tables: TABLES, space: SPACE, replica: REPLICA, rows })

/** The canonical key of these values. */
export const key = (...values: readonly Encoded[]): string => keyOf(values)

export const cursor = (version: number, high = version): Cursor => ({
  epoch: 'e1',
  generation: 'g1',
  version,
  high,
})

/** A live record as another replica wrote it. Its key is that of the first column unless `more` says so. */
export function record(
  table: string,
  version: number,
  fields: Fields,
  more: Partial<WireRecord> = {},
): WireRecord {
  const [first = null] = Object.values(fields)
  return { table, key: key(first), version, hlc: version * 1_000, by: 'replica-b', fields, ...more }
}

export function tombstone(table: string, rowKey: string, version: number): WireRecord {
  return { table, key: rowKey, version, hlc: version * 1_000, by: 'replica-b', deleted: true }
}

/** Whatever is published: what is told by table is what is told in all. */
async function publish(store: Store, publication: Publication): Promise<PublishResult> {
  const result = await store.publish(publication)
  if (result.status !== 'done') return result
  const counts = Object.values(result.tables)
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(result.applied)
  expect(counts).not.toContain(0)
  return result
}

/** Applies records as a pull would. */
export const pull = (
  store: Store,
  records: readonly WireRecord[],
  more: Partial<Publication> = {},
): Promise<PublishResult> => publish(store, { records, merged: [], notes: [], ...more })

export async function readAllDirty(store: Store): Promise<readonly LocalRow[]> {
  return (await store.readDirty(ALL)).rows
}

/** `table key` of every dirty row, sorted. */
export async function dirtyKeys(store: Store): Promise<readonly string[]> {
  return (await readAllDirty(store)).map((row) => `${row.table} ${row.key}`).sort()
}

/** The one row, dirty or held. Throws when it is neither. */
export async function touch(store: Store, table: string, rowKey: string): Promise<LocalRow> {
  const [row] = await store.readTouched([{ table, key: rowKey }])
  if (row === undefined) throw new Error(`${table} ${rowKey} is neither dirty nor held`)
  return row
}

export const isTouched = async (store: Store, table: string, rowKey: string): Promise<boolean> =>
  (await store.readTouched([{ table, key: rowKey }])).length > 0

/** Puts all dirty rows in flight. */
export async function send(store: Store): Promise<readonly Change[]> {
  const changes = (await readAllDirty(store)).map(changeOf)
  const state = await store.state()
  const number = state.mutation + 1
  const { space, replica, cursor: at } = state
  const body = JSON.stringify({ space, replica, mutation: number, cursor: at, changes })
  await store.saveMutation({ number, force: false, parts: [body] })
  return changes
}

/** Acknowledges the mutation in flight: every change `ok`, with versions from `version` on, or as `outcome` says. */
export async function acknowledge(
  store: Store,
  changes: readonly Change[],
  version: number,
  options: {
    readonly outcome?: (change: Change) => AcknowledgedRow['outcome'] | undefined
    readonly returned?: boolean
    readonly rest?: Partial<Publication>
  } = {},
): Promise<PublishResult> {
  const { mutation } = await store.state()
  const rows = changes.map((change, at) => ({
    change,
    outcome: options.outcome?.(change) ?? ({ kind: 'ok', version: version + at } as const),
  }))
  const returned = options.returned === true ? { returned: true } : {}
  return publish(store, {
    acknowledge: { mutation, rows, ...returned },
    records: [],
    merged: [],
    notes: [],
    ...options.rest,
  })
}

/** Sends what is dirty and has all of it taken. */
export async function push(store: Store, version: number): Promise<readonly Change[]> {
  const changes = await send(store)
  await acknowledge(store, changes, version)
  return changes
}

/** Publishes decisions for rows that met a record. */
export const merge = (
  store: Store,
  merged: readonly MergedRow[],
  more: Partial<Publication> = {},
): Promise<PublishResult> => publish(store, { records: [], merged, notes: [], ...more })

export function note(
  row: Pick<LocalRow, 'table' | 'key' | 'fields'>,
  more: Partial<InboxDraft> = {},
): InboxDraft {
  return {
    kind: 'field',
    table: row.table,
    key: row.key,
    columns: [],
    local: row.fields,
    remote: null,
    chosen: 'remote',
    by: 'contract',
    reason: 'A row of the contract.',
    ...more,
  }
}

/** The rows of a table, sorted by their text. */
export async function rowsOf({ app }: StoreHarness, table: string): Promise<readonly Fields[]> {
  return [...(await app.rows(table))].sort((a, b) => (canonicalJson(a) < canonicalJson(b) ? -1 : 1))
}

export async function parkedKeys(store: Store): Promise<readonly string[]> {
  return (await store.listParked(100)).map((row) => `${row.table} ${row.key}`)
}

/** A row of `seats`. */
export function seat(id: string, place: number | null, version: number, label = 'x'): WireRecord {
  return record('seats', version, { id, place, label })
}
