import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import Database from 'better-sqlite3'
import { expect, test } from 'vitest'

import { openAgentsDatabase } from '../../src/daemon/agents/database.ts'
import { homeFolders } from '../../src/machine/folders.ts'
import { startFaultyServer } from '../../src/testing/faulty-server.ts'
import { createReceiver } from './batch-rig.ts'

/** Kills, each at another moment around an answer, before one process may come to its end. */
const KILLS = 9

test('D5: an upload that is killed around its answers loses no row, and repeats a batch at most', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-kills-'))
  const receiver = createReceiver(({ id }) => (id === 's13' ? 422 : null))
  let kills = 0
  let kill = (): void => {}
  await using server = await startFaultyServer((request, response) => {
    const moment = kills < KILLS && server.requests.length % 2 === 0 ? kills++ % 3 : null
    // Before the answer, with it, and as soon as it has left.
    if (moment === 0) kill()
    if (moment === 2) response.once('finish', kill)
    receiver.answer(request, response)
    if (moment === 1) kill()
  })
  const script = `import { openBatchRig } from ${JSON.stringify(join(import.meta.dirname, 'batch-rig.ts'))}
    await openBatchRig(${JSON.stringify(folder)}).start(${JSON.stringify(server.url)}, { batchSize: 4 }).syncNow()
    process.exit(0)`
  const runOnce = (): Promise<number | null> => {
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
      stdio: 'inherit',
    })
    kill = () => void child.kill('SIGKILL')
    return new Promise((resolve) => child.once('exit', (code) => resolve(code)))
  }
  try {
    const program = openAgentsDatabase(homeFolders(folder).agents)
    const insert = program.prepare('INSERT INTO sessions (id) VALUES (?)')
    for (let at = 10; at < 40; at++) insert.run(`s${at}`)
    let runs = 0
    for (let code: number | null = null; code !== 0; runs++) {
      expect(runs).toBeLessThanOrEqual(KILLS)
      code = await runOnce()
      // Rows that come between the lives, which are found by their lines.
      if (code !== 0) insert.run(`t${runs}`)
    }
    await runOnce()
    program.close()
    expect(kills).toBe(KILLS)
    expect([...receiver.rows.keys()].toSorted()).toEqual([
      ...Array.from({ length: 30 }, (_, at) => `s${at + 10}`).filter((id) => id !== 's13'),
      ...Array.from({ length: KILLS }, (_, at) => `t${at}`),
    ])
    const daemon = new Database(join(folder, 'daemon.db'), { readonly: true })
    expect(daemon.prepare('SELECT row_id FROM batch_refused').pluck().all()).toEqual(['s13'])
    daemon.close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
