import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { createDaemonClient } from '../../../src/client/daemon-client.ts'
import { startDaemon } from '../../../src/daemon/daemon.ts'
import { systemClock } from '../../../src/kernel/clock.ts'
import { seededRandom } from '../../../src/kernel/random.ts'
import { homeFolders } from '../../../src/machine/folders.ts'
import { LEAK } from '../../cloud/attack/leak.ts'
import { KNOWN, OPERATION_IDS } from './api-case.ts'
import { runRound } from './round.ts'

/** The same requests each time; any others, and more, by hand. */
const SEED = Number(process.env['TIDEMARK_FUZZ_SEED'] ?? 1)
const CASES = Number(process.env['TIDEMARK_FUZZ_CASES'] ?? 700)

test('no request makes the daemon fail, hang, or answer what its contract does not say', async () => {
  const folders = homeFolders(mkdtempSync(join(tmpdir(), 'tidemark-fuzz-')))
  try {
    await using daemon = await startDaemon({
      folders,
      env: { TIDEMARK_DAEMON_PORT: '0' },
      clock: systemClock,
      random: seededRandom(SEED),
      version: '1.2.3',
      logLevel: 'debug',
    })
    const token = readFileSync(join(folders.data, 'api-token'), 'utf8').trim()
    const url = String(daemon.note().url)
    await fill(url, token)
    const counts = await runRound({ url, token }, SEED, CASES)
    // A fuzzer whose requests are all refused, or all taken, would see nothing.
    for (const id of OPERATION_IDS) {
      // There is no endpoint to sync with.
      if (id === 'syncNow') continue
      const statuses = [...(counts.get(id)?.keys() ?? [])]
      expect([
        id,
        statuses.some((status) => status === 200 || status === 'stream'),
        statuses.some((status) => Number(status) >= 400),
      ]).toEqual([id, true, true])
    }
    expect((await fetch(`${url}/api/v1/health`)).status).toBe(200)
    // D10: nothing that was sent is in the log.
    const files = readdirSync(folders.logs).map((name) => readFileSync(join(folders.logs, name), 'utf8'))
    expect(files.join('')).toContain('ready')
    for (const secret of [LEAK, token]) expect(files.join('')).not.toContain(secret)
  } finally {
    rmSync(folders.data, { recursive: true, force: true })
  }
})

/** Something under the ids that requests name. */
async function fill(url: string, token: string): Promise<void> {
  const client = createDaemonClient({ url, token })
  for (const id of KNOWN) {
    await client.createSession({ body: { id, source: 'test' } })
    await client.createMessages({ id, body: { messages: [{ id, text: 'city' }] } })
    await client.createApproval({ body: { id, tool_name: 'shell', context: 'why' } }).catch(() => {})
  }
}
