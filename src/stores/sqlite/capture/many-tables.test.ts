import { describe, expect, it } from 'vitest'

import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import type { Connection, Driver } from '../driver/driver.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { readShapes } from '../shape/read.ts'
import { installCapture } from './capture.ts'

/** What is asked of a connection, in order. */
interface Watched {
  readonly connection: Connection
  readonly asked: { readonly how: 'prepare' | 'exec'; readonly sql: string }[]
}

function watch(connection: Connection): Watched {
  const asked: Watched['asked'] = []
  return {
    asked,
    connection: {
      driver: connection.driver,
      file: connection.file,
      native: connection.native,
      get inTransaction() {
        return connection.inTransaction
      },
      prepare(sql) {
        asked.push({ how: 'prepare', sql })
        return connection.prepare(sql)
      },
      exec(sql) {
        asked.push({ how: 'exec', sql })
        connection.exec(sql)
      },
      value(sql) {
        asked.push({ how: 'prepare', sql })
        return connection.value(sql)
      },
      close: () => connection.close(),
    },
  }
}

function openTables(driver: Driver, count: number): Watched {
  const connection = driver.open(':memory:')
  for (let at = 0; at < count; at++)
    connection.exec(
      `CREATE TABLE t${at} (id INTEGER PRIMARY KEY, v UNIQUE, g AS (v || 'x')); CREATE UNIQUE INDEX u${at} ON t${at} (g)`,
    )
  return watch(connection)
}

const isMade = ({ sql }: { readonly sql: string }): boolean => /^\s*CREATE/.test(sql)

describe.each([betterSqlite3, nodeSqlite])('many tables ($name)', (driver) => {
  // SQLite visits every statement that lives whenever the schema changes.
  it('leave no statement behind for each table while the schema still changes', () => {
    const counts = [5, 40].map((count) => {
      const { connection, asked } = openTables(driver, count)
      installCapture(connection, readShapes(connection).shapes.values())
      const last = asked.findLastIndex(isMade)
      expect(asked.filter(isMade).length).toBeGreaterThan(5 * count)
      connection.close()
      return asked.slice(0, last).filter(({ how }) => how === 'prepare').length
    })
    expect(counts[1]).toBe(counts[0])
  })

  it('have room in the cache while their capture is made, and give it back', () => {
    const { connection, asked } = openTables(driver, 40)
    connection.exec('PRAGMA cache_size = 20')
    installCapture(connection, readShapes(connection).shapes.values())
    const room = asked.findIndex(({ sql }) => sql === `PRAGMA cache_size = -${40 * 24}`)
    expect(room).toBeGreaterThan(0)
    expect(room).toBeLessThan(asked.findIndex(isMade))
    expect(connection.value('PRAGMA cache_size')).toBe(20n)
    connection.close()
  })

  it('get no room that is there already', () => {
    const { connection, asked } = openTables(driver, 3)
    installCapture(connection, readShapes(connection).shapes.values())
    expect(asked.filter(({ sql }) => sql.startsWith('PRAGMA cache_size ='))).toEqual([])
    connection.close()
  })
})
