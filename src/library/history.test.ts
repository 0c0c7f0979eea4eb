import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { betterSqlite3 } from '../stores/sqlite/driver/better-sqlite3.ts'
import type { Connection } from '../stores/sqlite/driver/driver.ts'
import { nodeSqlite } from '../stores/sqlite/driver/node-sqlite.ts'
import { inspectFile, openSqliteStore, detachFile } from '../stores/sqlite/store/open.ts'
import { all, openFile, temporaryFile } from '../stores/sqlite/store/harness.ts'
import type { InboxEntry } from '../engine/inbox.ts'
import {
  countResolved,
  HISTORY_ENTRIES,
  readHistory,
  readTotals,
  recordOperation,
  type HistoryEntry,
} from './history.ts'
import { ensureTable, selectFrom } from './own-table.ts'

const entryOf = (given: Partial<HistoryEntry> = {}): HistoryEntry => ({
  operation: 'sync',
  timestamp: new Date('2026-03-01T10:00:00.123Z'),
  duration: 12.5,
  recordsProcessed: 3,
  pushed: 2,
  received: 1,
  conflicts: 1,
  success: true,
  error: null,
  tables: null,
  ...given,
})

const NOTHING = { operations: 0, records: 0, conflicts: 0, lastSyncTime: null }

describe.each([betterSqlite3, nodeSqlite])('the history of syncs, by $name', (driver) => {
  const open = (): Connection => driver.open(':memory:')

  it('gives back what was recorded, the newest first, whatever the clock says', () => {
    const connection = open()
    const entries = [
      entryOf({ operation: 'seed', tables: ['notes', 'it\'s "odd"'] }),
      entryOf({ timestamp: new Date(0), success: false, error: 'network', recordsProcessed: 0 }),
      entryOf({ operation: 'hydrate', timestamp: new Date(-5), duration: 0 }),
    ]
    for (const entry of entries) recordOperation(connection, entry)
    expect(readHistory(connection, 10)).toEqual([...entries].reverse())
    expect(readHistory(connection, 1)).toEqual([entries[2]])
    for (const none of [0, -1]) expect(readHistory(connection, none)).toEqual([])
    expect(readHistory(connection, Number.POSITIVE_INFINITY)).toHaveLength(3)
    expect(readTotals(connection)).toEqual({
      operations: 3,
      records: 6,
      conflicts: 3,
      lastSyncTime: new Date(-5),
    })
    connection.close()
  })

  it('is empty where nothing was recorded, and reading makes no table', () => {
    const connection = open()
    expect(readHistory(connection, 10)).toEqual([])
    expect(readTotals(connection)).toEqual(NOTHING)
    expect(all(connection, 'SELECT name FROM sqlite_master')).toEqual([])
    connection.close()
  })

  it('keeps the newest entries, and totals of all there ever were', () => {
    const connection = open()
    connection.exec('BEGIN')
    for (let at = 1; at <= HISTORY_ENTRIES + 7; at++)
      recordOperation(connection, entryOf({ timestamp: new Date(at), success: at === 2, conflicts: at % 2 }))
    connection.exec('COMMIT')
    const kept = readHistory(connection, 2 * HISTORY_ENTRIES)
    expect(kept).toHaveLength(HISTORY_ENTRIES)
    expect(all(connection, 'SELECT count(*) FROM _tidemark_history')).toEqual([[HISTORY_ENTRIES]])
    expect([kept[0]?.timestamp, kept.at(-1)?.timestamp]).toEqual([new Date(HISTORY_ENTRIES + 7), new Date(8)])
    expect(readTotals(connection)).toEqual({
      operations: HISTORY_ENTRIES + 7,
      records: 3 * (HISTORY_ENTRIES + 7),
      conflicts: (HISTORY_ENTRIES + 8) / 2,
      // Its entry is gone by now.
      lastSyncTime: new Date(2),
    })
    connection.close()
  })

  it('is one transaction: what is taken back leaves nothing', () => {
    const connection = open()
    recordOperation(connection, entryOf())
    connection.exec('BEGIN')
    recordOperation(connection, entryOf())
    connection.exec('ROLLBACK')
    expect(readTotals(connection)).toMatchObject({ operations: 1, records: 3 })
    expect(() => recordOperation(connection, entryOf({ recordsProcessed: Number.NaN }))).toThrow(RangeError)
    expect(connection.inTransaction).toBe(false)
    expect(readHistory(connection, 9)).toHaveLength(1)
    connection.close()
  })

  it('is never synced, and goes with the file’s sync', async () => {
    const { file, remove } = temporaryFile()
    {
      await using f = await openFile(driver, 'CREATE TABLE notes (id TEXT PRIMARY KEY)')
      const before = await f.store.schema()
      const connection = driver.open(f.file)
      recordOperation(connection, entryOf())
      expect(await f.store.schema()).toEqual(before)
      expect(await f.store.counts()).toMatchObject({ pending: {} })
      expect(inspectFile({ file: f.file, driver })).toMatchObject({ tables: ['notes'], refused: [] })
      connection.exec(`VACUUM INTO '${file}'`)
      connection.close()
    }
    detachFile({ file, driver })
    const after = driver.open(file)
    expect(all(after, 'SELECT name FROM sqlite_master WHERE sql IS NOT NULL')).toEqual([['notes']])
    expect(readTotals(after)).toEqual(NOTHING)
    after.close()
    expect(() => openSqliteStore({ file, driver })).toThrow(/not under sync/)
    remove()
  })
})

describe('a table of the library’s own', () => {
  const columns = { a: 'INTEGER', b: 'TEXT' } as const
  const older = { name: '_tidemark_x', columns: { a: 'INTEGER' } } as const
  const newer = { name: '_tidemark_x', columns }

  it('of an older version is read without a write, and gets its columns with the first one', () => {
    const connection = betterSqlite3.open(':memory:')
    ensureTable(connection, older)
    connection.exec('INSERT INTO _tidemark_x (a) VALUES (7)')
    const read = (): unknown => all(connection, String(selectFrom(connection, newer)))
    expect(read()).toEqual([[1, 7, null]])
    expect(all(connection, "SELECT count(*) FROM pragma_table_info('_tidemark_x')")).toEqual([[2]])
    for (let twice = 0; twice < 2; twice++) ensureTable(connection, newer)
    connection.exec("INSERT INTO _tidemark_x (a, b) VALUES (8, 'new')")
    expect(read()).toEqual([
      [1, 7, null],
      [2, 8, 'new'],
    ])
    connection.close()
  })

  it('of a newer version keeps the columns that are not known here', () => {
    const connection = betterSqlite3.open(':memory:')
    ensureTable(connection, newer)
    ensureTable(connection, older)
    connection.exec('INSERT INTO _tidemark_x (a) VALUES (1)')
    expect(all(connection, String(selectFrom(connection, older)))).toEqual([[1, 1]])
    expect(all(connection, 'SELECT * FROM _tidemark_x')).toEqual([[1, 1, null]])
    connection.close()
  })
})

it('totals are the sums, for any operations', () => {
  const count = fc.nat(1_000)
  const operations = fc.array(
    fc.record({ records: count, conflicts: count, success: fc.boolean(), at: fc.integer() }),
  )
  fc.assert(
    fc.property(operations, (given) => {
      const connection = betterSqlite3.open(':memory:')
      for (const { records, conflicts, success, at } of given)
        recordOperation(
          connection,
          entryOf({ recordsProcessed: records, conflicts, success, timestamp: new Date(at) }),
        )
      const last = given.findLast(({ success }) => success)
      expect(readTotals(connection)).toEqual({
        operations: given.length,
        records: given.reduce((sum, one) => sum + one.records, 0),
        conflicts: given.reduce((sum, one) => sum + one.conflicts, 0),
        lastSyncTime: last === undefined ? null : new Date(last.at),
      })
      connection.close()
    }),
    { numRuns: 30 },
  )
})

it('conflicts that wait, and references, are no decided conflicts', () => {
  const entry = (given: Partial<InboxEntry>): InboxEntry => ({
    id: '1',
    at: 0,
    status: 'open',
    kind: 'field',
    table: 't',
    key: '[1]',
    columns: [],
    local: null,
    remote: null,
    chosen: 'local',
    by: '',
    reason: '',
    ...given,
  })
  const inbox = [
    entry({}),
    entry({ chosen: 'waits' }),
    entry({ chosen: 'waits', status: 'resolved' }),
    entry({ status: 'dismissed' }),
    entry({ kind: 'integrity' }),
  ]
  expect(countResolved(inbox)).toBe(3)
})
