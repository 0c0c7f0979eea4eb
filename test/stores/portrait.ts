import type { LocalRow } from '../../src/engine/store.ts'
import type { Change } from '../../src/protocol/records.ts'
import { keyOfId, KEYS, TABLES, type Side } from './sides.ts'

/** A change or a row without its times, and without the stores' own names of claims. */
export function shown(row: Change | LocalRow): unknown {
  const { claims = {}, ...rest } = row
  const plain = JSON.parse(JSON.stringify({ ...rest, claims: Object.values(claims).map(String).sort() })) as {
    [name: string]: unknown
  }
  delete plain['hlc']
  delete plain['at']
  if (Array.isArray(plain['changed'])) plain['changed'].sort()
  return plain
}

const byText = (items: readonly unknown[]): readonly string[] =>
  items.map((item) => JSON.stringify(sorted(item))).sort()

/** With the keys of objects in one order. */
export function sorted(item: unknown): unknown {
  if (Array.isArray(item)) return item.map(sorted)
  if (typeof item !== 'object' || item === null) return item
  return Object.fromEntries(
    Object.entries(item)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => [name, sorted(value)]),
  )
}

/** Everything that the port shows of a store. */
export async function portrait(side: Side): Promise<unknown> {
  const { store } = side
  const places = TABLES.flatMap(({ name: table }) => KEYS.map((id) => ({ table, key: keyOfId(table, id) })))
  const { publishedSchema: _, ...state } = await store.state()
  const { pending: __, ...counts } = await store.counts()
  return {
    touched: byText((await store.readTouched(places)).map(shown)),
    dirty: byText((await store.readDirty({ rows: 1_000, bytes: 1e9 })).rows.map(shown)),
    rows: TABLES.map(({ name }) => byText(side.rows(name))),
    parked: byText(
      (await store.listParked(100)).map(({ table, key, record: { version, fields } }) => ({
        table,
        key,
        version,
        fields,
      })),
    ),
    inbox: byText(
      (await store.listInbox({})).map(({ id: ___, at: ____, reason: _____, remote, ...entry }) => ({
        ...entry,
        remote: remote?.fields ?? remote?.version ?? null,
      })),
    ),
    quarantine: byText((await store.listQuarantine(100)).map(({ id: ___, at: ____, ...entry }) => entry)),
    counts,
    state: { ...state, inFlight: state.inFlight === null ? null : state.inFlight.number },
  }
}
