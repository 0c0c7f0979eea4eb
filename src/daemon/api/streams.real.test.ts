import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

import { expect, test } from 'vitest'

import { startTestApi, TOKEN } from '../../../test/daemon/api-world.ts'
import { systemClock } from '../../kernel/clock.ts'
import { homeFolders } from '../../machine/folders.ts'
import { openEventLog } from '../changes/event-log.ts'
import { createEventStream } from '../changes/event-stream.ts'
import { openPrivateDatabase } from '../private-database.ts'

const READING = 900
const STALLED = 100
const EVENTS = 500
/** A record of 4 KB with each. */
const RECORD = { text: 'x'.repeat(4_096) }
/** What a thousand connections may cost, however much is sent over them: 2 GB here. */
const MAX_GROWTH = 350 * 1024 * 1024

test('a thousand readers of a flood, some of which take nothing, cost a bounded memory', async () => {
  const folders = homeFolders(mkdtempSync(join(tmpdir(), 'tidemark-streams-')))
  const database = openPrivateDatabase(folders)
  const log = openEventLog(database, systemClock)
  const { streamEvents } = createEventStream(log, {
    session: () => RECORD,
    notification: () => null,
    approval: () => null,
  })
  await using world = await startTestApi({ streams: { streamEvents }, limits: { stallMs: 5_000 } })
  const script = join(import.meta.dirname, '../../../test/daemon/stream-readers.ts')
  const counts = [READING, STALLED, EVENTS].map(String)
  const readers = spawn(process.execPath, [script, world.api.url, TOKEN, ...counts], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const lines = createInterface({ input: readers.stdout })[Symbol.asyncIterator]()
    expect((await lines.next()).value).toBe('open')
    const before = process.memoryUsage.rss()
    let peak = before
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 50)
    const cpu = process.cpuUsage()
    for (let made = 0; made < EVENTS; made += 100) {
      database.transaction(() => {
        for (let at = 0; at < 100; at++)
          log.append({ type: 'session_updated', record_id: `s${at}`, session_id: `s${at}` })
      })()
      log.wake()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const { value } = await lines.next()
    clearInterval(watch)
    const { user, system } = process.cpuUsage(cpu)
    const growth = peak - before
    console.log(Reflect.get(globalThis, 'pk'))
    console.log(
      `${READING} readers and ${STALLED} that stall, ${EVENTS} events: ${Math.round(growth / 2 ** 20)} MiB more at the most (${Math.round(before / 2 ** 20)} before), ${Math.round((user + system) / 1_000)} ms of CPU; ms late: ${String(value)}`,
    )
    expect(JSON.parse(String(value))).toMatchObject({ p50: expect.any(Number) as number })
    expect(growth).toBeLessThan(MAX_GROWTH)
  } finally {
    readers.kill()
    database.close()
    rmSync(folders.data, { recursive: true, force: true })
  }
})
