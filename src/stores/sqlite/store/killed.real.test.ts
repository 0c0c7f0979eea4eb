import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'

import { systemClock, sleep } from '../../../kernel/clock.ts'
import { randomInt, seededRandom } from '../../../kernel/random.ts'
import { dirtyKeys } from '../../../testing/store-contract/cycle.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openFile } from './harness.ts'

const KILLS = 8
const SQL = ['a', 'b']
  .map((name) => `CREATE TABLE ${name} (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, v INTEGER);`)
  .concat('CREATE TRIGGER counted AFTER UPDATE ON a BEGIN UPDATE b SET v = v + 1; END;')
  .join('\n')

const moduleAt = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href)

/** The process that is killed: publishes for ever, each time every row and the cursor. */
const CHILD = `
  import { betterSqlite3 } from ${moduleAt('../driver/better-sqlite3.ts')}
  import { nodeSqlite } from ${moduleAt('../driver/node-sqlite.ts')}
  import { openSqliteStore } from ${moduleAt('open.ts')}
  const [file, name] = process.argv.slice(1)
  const store = openSqliteStore({ file, driver: name === nodeSqlite.name ? nodeSqlite : betterSqlite3 })
  const { cursor } = await store.state()
  process.send('ready')
  for (let version = (cursor?.version ?? 0) + 1; ; version++) {
    // Unique values go round, so that every publish has to make room.
    const records = ['a', 'b'].flatMap((table) => Array.from({ length: 40 }, (_, id) =>
      ({ table, key: '[' + id + ']', version, hlc: version, by: 'replica-b', fields: { id, u: (id + version) % 40, v: version } })))
    await store.publish({ records, merged: [], notes: [], cursor: { epoch: 'e', generation: 'g', version, high: version } })
  }`

describe.each([betterSqlite3, nodeSqlite])('killed while publishing ($name)', (driver) => {
  test(`I5, I6: ${KILLS} times at random moments: the file is of before or of after`, async () => {
    await using f = await openFile(driver, SQL)
    await f.store[Symbol.asyncDispose]()
    const before = f.app.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all()
    const random = seededRandom(5)
    let last = 0
    for (let kill = 0; kill < KILLS; kill++) {
      const options = ['--input-type=module', '-e', CHILD, f.file, driver.name]
      const child = spawn(process.execPath, options, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
      await once(child, 'message')
      await sleep(systemClock, 20 + randomInt(random, 150))
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
      const [versions, applying] = [
        f.app.prepare('SELECT v FROM a UNION SELECT v FROM b').all().flat(),
        f.app.value('SELECT applying FROM _tidemark_flag'),
      ]
      expect(versions.length).toBeLessThanOrEqual(1)
      expect(applying).toBe(0n)
      await f.reopen()
      const version = (await f.store.state()).cursor?.version ?? 0
      expect(versions).toEqual(version === 0 ? [] : [BigInt(version)])
      expect(version).toBeGreaterThanOrEqual(last)
      expect(await dirtyKeys(f.store)).toEqual([])
      expect(f.app.value('PRAGMA integrity_check')).toBe('ok')
      expect(f.app.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all()).toEqual(before)
      await f.store[Symbol.asyncDispose]()
      last = version
    }
    expect(last).toBeGreaterThan(0)
  })
})
