import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openSqliteStore } from './open.ts'

/** The process that `killed.test.ts` kills: publishes for ever, each time every row and the cursor. */
const [file = '', name = ''] = process.argv.slice(2)
const store = openSqliteStore({ file, driver: name === nodeSqlite.name ? nodeSqlite : betterSqlite3 })
const { cursor } = await store.state()
process.stdout.write('ready\n')
for (let version = (cursor?.version ?? 0) + 1; version < 1_000_000; version++) {
  const records = ['a', 'b'].flatMap((table) =>
    Array.from({ length: 40 }, (_, id) => ({
      table,
      key: `[${id}]`,
      version,
      hlc: version,
      by: 'replica-b',
      // Unique values go round, so that every publish has to make room.
      fields: { id, u: (id + version) % 40, v: version },
    })),
  )
  await store.publish({
    records,
    merged: [],
    notes: [],
    cursor: { epoch: 'e', generation: 'g', version, high: version },
  })
}
