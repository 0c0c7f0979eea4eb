import type { Provider } from '../../../src/engine/provider.ts'
import { keyOf } from '../../../src/kernel/keys.ts'
import { canonicalJson, type Fields } from '../../../src/kernel/values.ts'
import type { WireRecord } from '../../../src/protocol/records.ts'
import type { Store } from '../../../src/engine/store.ts'
import type { Connection } from '../../../src/stores/sqlite/driver/driver.ts'
import { applicationOn } from '../../../src/stores/sqlite/store/harness.ts'
import { SPACE } from '../../../sim/directory.ts'
import type { Device } from './device.ts'
import type { Ledger } from './ledger.ts'
import { quote, type PairSchema } from './schema.ts'

/** `table key` → fields of every row that the cloud has. */
export type Cloud = ReadonlyMap<string, Fields>

export async function readCloud(provider: Provider): Promise<Cloud> {
  const records: WireRecord[] = []
  const { signal } = new AbortController()
  for await (const chunk of provider.hydrate({ space: SPACE, replica: 'viewer' }, signal))
    if (chunk.kind === 'records') records.push(...chunk.records)
  return new Map(records.map(({ table, key, fields }) => [`${table} ${key}`, fields ?? {}]))
}

/** What is wrong when all is quiet; null: nothing. */
export async function findFault(
  devices: readonly Device[],
  cloud: Cloud,
  schema: PairSchema,
  ledger: Ledger,
): Promise<string | null> {
  const texts: string[] = []
  for (const device of devices) {
    const fault = (await findApart(device, cloud)) ?? (await findBroken(device, schema))
    if (fault !== null) return `${device.name}: ${fault}`
    texts.push([...ledger.tokensOf(device)].join(' '))
    texts.push(JSON.stringify([await device.store.listParked(1_000), await device.store.listInbox({})]))
  }
  const lost = ledger.findLost(texts.join('\n'))
  if (lost.length > 0) return `lost: ${lost.join(' ')}`
  const [device] = devices
  return device === undefined ? null : ledger.findAdopted(device, texts.join('\n'))
}

/** I2: the table, with what is parked in its place, is what the cloud has; rows that wait are left out. */
async function findApart({ store, rows }: Device, cloud: Cloud): Promise<string | null> {
  const { tables } = await store.schema()
  const waiting = new Set((await store.listQuarantine(1_000)).map(({ table, key }) => `${table} ${key}`))
  for (const { table, key, chosen } of await store.listInbox({ open: true }))
    if (chosen === 'waits') waiting.add(`${table} ${key}`)
  const there = new Map<string, Fields>()
  for (const { name, key, columns } of tables) {
    const collations = key.map((part) => {
      const collation = columns.find((column) => column.name === part)?.collation
      return collation === 'NOCASE' || collation === 'RTRIM' ? collation : 'BINARY'
    })
    for (const fields of rows(name)) {
      const values = key.map((part) => fields[part] ?? null)
      if (!values.includes(null)) there.set(`${name} ${keyOf(values, collations)}`, fields)
    }
  }
  for (const { table, key, record } of await store.listParked(1_000))
    there.set(`${table} ${key}`, record.fields ?? {})
  for (const place of new Set([...there.keys(), ...cloud.keys()])) {
    if (waiting.has(place)) continue
    const [here, known] = [there.get(place), cloud.get(place)]
    if (here === undefined) return `${place} is in the cloud and not here`
    if (known === undefined) return `${place} is here and not in the cloud`
    for (const [column, value] of Object.entries(here)) {
      if (Object.hasOwn(known, column) && canonicalJson(value) !== canonicalJson(known[column] ?? null))
        return `${place} ${column}: here ${canonicalJson(value)}, in the cloud ${canonicalJson(known[column] ?? null)}`
    }
  }
  return null
}

/** A parked record that could stand: it should have been tried again. */
async function findFree(app: Connection, store: Store): Promise<string | null> {
  app.exec('PRAGMA foreign_keys = 0')
  const { tables } = await store.schema()
  const { insert, update } = applicationOn(app)
  for (const { table, key, record } of await store.listParked(1_000)) {
    const shape = tables.find(({ name }) => name === table)
    const names =
      shape?.columns.filter(({ generated }) => generated === undefined).map(({ name }) => name) ?? []
    const fields = Object.fromEntries(
      Object.entries(record.fields ?? {}).filter(([name]) => names.includes(name)),
    )
    const place = Object.fromEntries((shape?.key ?? []).map((name) => [name, fields[name] ?? null]))
    app.exec('BEGIN')
    try {
      await update(table, place, fields)
      if (app.value('SELECT changes()') === 0n) await insert(table, fields)
      if (app.value('SELECT changes()') !== 0n) return `${table} ${key}`
    } catch {
      // Something does.
    } finally {
      if (app.inTransaction) app.exec('ROLLBACK')
    }
  }
  return null
}

/** The file itself, its references and its full-text indexes. */
async function findBroken({ app, store }: Device, schema: PairSchema): Promise<string | null> {
  // Rules of one file only do not hold for rows of the other.
  app.exec('PRAGMA ignore_check_constraints = 1')
  const integrity = app.value('PRAGMA integrity_check')
  if (integrity !== 'ok') return String(integrity)
  const left = (await store.readDirty({ rows: 10, bytes: 1e9 })).rows
  if (left.length > 0) return `not sent: ${left.map(({ table, key }) => `${table} ${key}`).join(', ')}`
  const noted = (await store.listInbox({ open: true })).filter(({ kind }) => kind === 'integrity')
  for (const [table] of app.prepare('PRAGMA foreign_key_check').all())
    if (!noted.some((note) => note.table === table))
      return `a reference of ${String(table)} points nowhere, unnoted`
  const free = await findFree(app, store)
  if (free !== null) return `${free} is parked, and nothing stands in its way`
  for (const name of schema.fullText) {
    try {
      app.exec(`INSERT INTO ${quote(name)} (${quote(name)}, rank) VALUES ('integrity-check', 1)`)
    } catch (error) {
      return `full text of ${name}: ${String(error)}`
    }
  }
  return null
}
