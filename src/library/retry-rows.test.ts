import { describe, expect, it } from 'vitest'

import { makeOperation } from '../../test/library/operation.ts'
import { betterSqlite3 } from '../stores/sqlite/driver/better-sqlite3.ts'
import type { Connection } from '../stores/sqlite/driver/driver.ts'
import { nodeSqlite } from '../stores/sqlite/driver/node-sqlite.ts'
import { all } from '../stores/sqlite/store/harness.ts'
import type { BookChanges, Operation } from './retry-book.ts'
import { readBook, readCompleted, removeCompleted, saveChanges } from './retry-rows.ts'

const NOW = 1_700_000_000_000

const operation = (given: Partial<Operation> = {}): Operation => makeOperation(NOW, given)

const change = (given: Partial<BookChanges>): BookChanges => ({
  added: [],
  changed: [],
  removed: [],
  ...given,
})

describe.each([betterSqlite3, nodeSqlite])('the book in the file, by $name', (driver) => {
  function open(...added: readonly Operation[]): Connection {
    const connection = driver.open(':memory:')
    if (added.length > 0) expect(saveChanges(connection, change({ added }), NOW)).toBe(true)
    return connection
  }
  const openIn = (connection: Connection): readonly Operation[] => readBook(connection, NOW).open

  it('gives back what was put into it, the oldest first', () => {
    const given = [
      operation({ op: 'delete', status: 'failed', failures: 4 }),
      operation({ table: 'it\'s "odd"', message: 'Ünï' }),
      operation({ key: '["b"]', status: 'completed', completedAt: NOW + 3 }),
    ]
    const connection = open(...given)
    expect(openIn(connection)).toEqual([
      { ...given[0], sequence: 1 },
      { ...given[1], sequence: 2 },
    ])
    expect(readCompleted(connection, 9)).toEqual([{ ...given[2], sequence: 3 }])
    expect(readBook(connection, NOW).completed).toBe(1)
    connection.close()
  })

  it('is empty where there is none, and reading makes none', () => {
    const connection = open()
    expect(readBook(connection, NOW)).toEqual({ open: [], completed: 0, expired: false })
    expect(readCompleted(connection, 9)).toEqual([])
    expect(removeCompleted(connection, 0, NOW)).toBe(0)
    expect(all(connection, 'SELECT name FROM sqlite_master')).toEqual([])
    connection.close()
  })

  it('takes changes whole or not at all: not when one of the rows is another by now', () => {
    const connection = open(operation(), operation({ key: '["b"]' }))
    const [a, b] = openIn(connection)
    if (a === undefined || b === undefined) throw new Error('not saved')
    const later = { ...b, nextAt: NOW + 99 }
    const stale = { ...a, nextAt: NOW + 7 }
    const added = operation({ key: '["c"]' })
    const refused = [
      change({ added: [added], changed: [{ before: stale, after: { ...stale, failures: 2 } }] }),
      change({
        changed: [
          { before: b, after: later },
          { before: stale, after: a },
        ],
      }),
      change({ added: [added], removed: [{ ...a, entry: 'e9' }] }),
      // Somebody else has begun it.
      change({ changed: [{ before: b, after: later }], added: [operation({ entry: 'e5' })] }),
    ]
    for (const one of refused) {
      expect(saveChanges(connection, one, NOW)).toBe(false)
      expect(openIn(connection)).toEqual([a, b])
    }
    expect(
      saveChanges(connection, change({ changed: [{ before: b, after: later }], removed: [a] }), NOW),
    ).toBe(true)
    expect(openIn(connection)).toEqual([later])
    connection.close()
  })

  it('has one open operation for a row, and any number of completed ones', () => {
    const completed = operation({ status: 'completed', completedAt: NOW })
    const connection = open(completed, completed, operation())
    expect(readBook(connection, NOW)).toMatchObject({ completed: 2, open: [{ entry: 'e1' }] })
    expect(() =>
      connection.exec(
        "INSERT INTO _tidemark_retries (table_name, key, status) VALUES ('notes', '[\"a\"]', 'failed')",
      ),
    ).toThrow(/unique/)
    connection.close()
  })

  it('throws what is no race, with nothing done', () => {
    const connection = open()
    expect(() => saveChanges(connection, change({ added: [operation({ firstAt: 0.5 })] }), NOW)).toThrow(
      RangeError,
    )
    expect(connection.inTransaction).toBe(false)
    expect(all(connection, 'SELECT name FROM sqlite_master')).toEqual([])
    connection.close()
  })
})
