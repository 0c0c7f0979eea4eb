import { appendFileSync } from 'node:fs'
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises'

import Database from 'better-sqlite3'
import knexOf from 'knex'

import { createSyncManager } from '../../src/library/create.ts'

/**
 * An application in a process of its own. Usage: application.ts JSON of `ApplicationOptions`.
 * - `write`: writes by transactions of Knex for ever, and syncs for ever. Each id is appended to `log` after its commit,
 *   so that the truth is known outside every database; each new code of a sync's failure, or `synced`, is printed.
 * - `end`: syncs, goes on live, closes everything, and has nothing to do any more.
 * - `cut`: the same, but closes in the midst of a sync.
 */
export interface ApplicationOptions {
  readonly task: 'write' | 'end' | 'cut'
  readonly library: 'knex' | 'better-sqlite3'
  readonly file: string
  readonly home: string
  readonly endpoint: string
  readonly token: string
  readonly name: string
  readonly log: string
}

const { task, library, file, home, endpoint, token, name, log } = JSON.parse(
  process.argv[2] ?? '{}',
) as ApplicationOptions
const knex = knexOf({
  client: 'better-sqlite3',
  connection: { filename: file },
  useNullAsDefault: true,
})
const database = library === 'knex' ? knex : new Database(file)
const countListeners = (): number =>
  [knex, knex.client as typeof knex]
    .flatMap((one) => one.eventNames().map((event) => one.listenerCount(event)))
    .reduce((sum, count) => sum + count, 0)
const listeners = countListeners()
const config = { endpoint, token, home, environment: {} }

async function write(): Promise<void> {
  for (let n = 0; ; n++) {
    const ids = [`${name}-${n}-1`, `${name}-${n}-2`]
    await knex.transaction(async (trx) => {
      for (const id of ids) {
        await trx('notes').insert({ id, title: 'x'.repeat((n * 97) % 900) })
        await turn()
      }
    })
    appendFileSync(log, `${ids.join('\n')}\n`)
    await pause(1)
  }
}

async function sync(): Promise<void> {
  const manager = await createSyncManager(database, config)
  const said = new Set<string>()
  for (;;) {
    const word = await manager.sync().then(
      () => 'synced',
      ({ code }: { readonly code: string }) => code,
    )
    if (!said.has(word)) process.stdout.write(`${word}\n`)
    said.add(word)
    await pause(1)
  }
}

async function end(): Promise<void> {
  const manager = await createSyncManager(database, { ...config, live: true })
  if (task === 'end') {
    await manager.sync()
    manager.startAutoSync()
    await knex('notes').insert({ id: name, title: 'live' })
    await new Promise((resolve) => manager.addEventListener('sync_completed', resolve))
    await manager.getSyncStats()
  } else {
    manager.sync().catch(({ code }: { readonly code: string }) => process.stdout.write(`${code}\n`))
    await new Promise((resolve) => manager.addEventListener('sync_progress', resolve))
  }
  await manager.close()
  const { pool } = knex.client as { readonly pool: { numUsed(): number } }
  const left = countListeners() - listeners
  await knex.destroy()
  if (database !== knex) (database as Database.Database).close()
  process.stdout.write(`closed, ${pool.numUsed()} connections used, ${left} listeners left\n`)
}

if (task === 'write') await Promise.all([write(), sync()])
else await end()
