import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import pg from 'pg'
import { expect, test } from 'vitest'

import { freePort } from '../free-port.ts'
import { DATABASE_LIMITS } from '../../src/cloud/postgres/pool.ts'
import { describeOwnPostgres } from '../postgres/own.ts'
import { startPostgres } from '../postgres/server.ts'
import { listRunBlocks, openPlace, type Place } from '../readme-blocks.ts'
import { EXAMPLE, hasProgram } from './example.ts'

const ROOT = join(EXAMPLE, '../..')
const GUIDE = readFileSync(join(ROOT, 'docs/guides/self-hosting.md'), 'utf8')
/** On the device, before the guide begins. */
const NOTES = `const { DatabaseSync } = require('node:sqlite')
  new DatabaseSync('notes.db').exec("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT); INSERT INTO notes VALUES (1, 'one'), (2, 'two')")`

async function ask(url: string, sql: string): Promise<readonly unknown[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const rows: unknown[] = []
    // One by one, as a person's psql does: some may not be in a transaction.
    for (const statement of sql.split(/;\s*$/m)) {
      if (statement.trim() !== '') rows.push(...(await client.query<object>(statement)).rows)
    }
    return rows
  } finally {
    await client.end()
  }
}

describeOwnPostgres('the guide for operators', () => {
  test.skipIf(!hasProgram('sqlite3'))(
    'its commands make a cloud of one file and move it to PostgreSQL, and its devices go on',
    async () => {
      await using server = await startPostgres({ flags: ['fsync=off'] })
      const as = (user: string, name: string): string => {
        const url = new URL(server.url)
        url.username = user
        url.pathname = `/${name}`
        return url.href
      }
      const ports = { 7600: await freePort(), 7601: await freePort() }
      await using place = await openPlace(join(ROOT, 'bin/tidemark.js'))
      const run = async (on: Place, script: string, what = script): Promise<string> => {
        const database = `export TIDEMARK_CLOUD_DATABASE_URL='${as('tidemark', 'cloud')}'\n`
        const { code, said } = await on.run(database + script)
        expect(code, `${what}\n${said}`).toBe(0)
        return said
      }
      await run(place, `node -e "${NOTES.replaceAll('"', '\\"')}"`)

      const blocks = [
        ...listRunBlocks(GUIDE),
        ...listRunBlocks(GUIDE, 'sql').map((block) => ({ ...block, sql: true })),
      ]
      blocks.sort((a, b) => a.line - b.line)
      expect(blocks.length).toBeGreaterThan(12)
      const answers: unknown[] = []
      for (const { line, script, words, ...block } of blocks) {
        const what = `self-hosting.md:${line}`
        let text = script
        for (const [written, port] of Object.entries(ports)) text = text.replaceAll(written, String(port))
        if ('sql' in block) {
          const url = words[0] === 'cloud' ? as('tidemark', 'cloud') : server.url
          answers.push(...(await ask(url, text)))
        } else if (words[0] === 'serve') {
          const port = /--port (\d+)/.exec(text)?.[1] ?? ''
          await run(place, `${text} >>log 2>&1 &`, what)
          await expect
            .poll(
              () =>
                fetch(`http://127.0.0.1:${port}/readyz`).then(
                  ({ status }) => status,
                  () => 'nobody',
                ),
              { timeout: 30_000 },
            )
            .toBe(200)
        } else await run(place, text, what)
      }

      // The view has the row, which the analyst may read and nothing beside it.
      expect(answers).toMatchObject([{ id: '1', text: 'one' }])
      const analyst = as('analyst', 'cloud')
      expect(await ask(analyst, 'SELECT count(*)::int AS n FROM "ours/notes".notes')).toEqual([{ n: 2 }])
      await expect(ask(analyst, 'SELECT * FROM tidemark.records')).rejects.toThrow('permission denied')
      // The device goes on with the new cloud, both ways.
      await run(place, `sqlite3 notes.db "INSERT INTO notes VALUES (3, 'three')"; tidemark sync now`)
      expect(await ask(analyst, 'SELECT id::int FROM "ours/notes".notes ORDER BY id')).toEqual([
        { id: 1 },
        { id: 2 },
        { id: 3 },
      ])
      // A column more is seen by who may see the others.
      await run(
        place,
        `sqlite3 notes.db "ALTER TABLE notes ADD COLUMN done INTEGER; UPDATE notes SET done = id"; tidemark sync now`,
      )
      await expect
        .poll(() => ask(analyst, 'SELECT sum(done)::int AS n FROM "ours/notes".notes').catch(String), {
          timeout: 20_000,
        })
        .toEqual([{ n: 6 }])
      expect(await run(place, 'sqlite3 back-up.db "PRAGMA integrity_check"')).toBe('ok\n')
    },
    240_000,
  )
})

test('its numbers are those of the program', () => {
  const { statementMs, lockMs, idleInTransactionMs, connections } = DATABASE_LIMITS
  expect(GUIDE).toContain(
    `${statementMs / 1_000} s a statement, ${lockMs / 1_000} s for a lock, ${idleInTransactionMs / 1_000} s of silence`,
  )
  expect(GUIDE).toContain(`\`--database-connections\` (${connections}) and two more`)
})
