import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { openTestDatabase } from '../../../test/postgres/database.ts'
import { AsyncDisposableStack } from '../../kernel/disposable-stack.ts'
import { systemClock } from '../../kernel/clock.ts'
import { codeOf, put, readOne, Reader, SPACE } from '../../testing/log-contract/harness.ts'
import { migrate } from '../postgres/migrate.ts'
import { MIGRATIONS } from '../postgres/migrations.ts'
import { openDatabase } from '../postgres/pool.ts'
import type { Log } from './log.ts'
import { openPostgresLog } from './postgres.ts'
import { openSqliteLog } from './sqlite.ts'

const drivers: { readonly [driver: string]: (stack: AsyncDisposableStack) => Promise<Log> } = {
  async sqlite(stack) {
    const folder = mkdtempSync(join(tmpdir(), 'tidemark-touched-'))
    stack.defer(() => rmSync(folder, { recursive: true }))
    return stack.use(await openSqliteLog({ file: join(folder, 'cloud.db'), clock: systemClock }))
  },
  async postgres(stack) {
    const database = stack.use(openDatabase(stack.use(await openTestDatabase())))
    await migrate(database, MIGRATIONS, systemClock)
    return stack.use(openPostgresLog({ database, clock: systemClock }))
  },
}

/** Five of them are more than may be touched at once. */
const LARGE = 'x'.repeat(15_000_000)
const KEYS = ['1', '2', '3', '4', '5']

describe.each(Object.keys(drivers))('rows that hold much, %s', (driver) => {
  test('are not touched all at once; others are not held up, and fewer can be', async () => {
    await using stack = new AsyncDisposableStack()
    const log = await (drivers[driver] as (typeof drivers)[string])(stack)
    await log.ensureSpace(SPACE)
    const [a, b, c] = [new Reader(log, 'a'), new Reader(log, 'b'), new Reader(log, 'c')]
    for (const key of KEYS) await a.write(put(key, 0, { large: LARGE, small: 0 }))
    const small = (keys: readonly string[]) => keys.map((key) => put(key, 5, { small: 1 }))

    // What is pushed beside it is not refused with it.
    const [refused, alone] = await Promise.all([codeOf(b.push(small(KEYS))), c.write(put('6', 0, {}))])
    expect([refused, alone]).toEqual(['payload_too_large', [6]])
    expect((await readOne(log, '1'))?.fields?.['small']).toBe(0)
    expect((await b.push(small(KEYS.slice(0, 2)))).results.map(({ status }) => status)).toEqual(['ok', 'ok'])
    const keys = KEYS.map((key) => ({ table: 't', key: `["${key}"]` }))
    expect(await codeOf(log.read(SPACE, { space: 'name', records: keys }))).toBe('payload_too_large')
    expect((await log.status(SPACE)).head).toBe(8)
  })
})
