import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
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

describe.each([betterSqlite3, nodeSqlite])('killed while publishing ($name)', (driver) => {
  test(`I5, I6: ${KILLS} times at random moments: the file is of before or of after`, async () => {
    await using f = await openFile(driver, SQL)
    await f.store[Symbol.asyncDispose]()
    const before = f.app.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all()
    const random = seededRandom(5)
    let last = 0
    for (let kill = 0; kill < KILLS; kill++) {
      const child = spawn(
        process.execPath,
        [fileURLToPath(new URL('killed.child.ts', import.meta.url)), f.file, driver.name],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      )
      await once(child.stdout, 'data')
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
