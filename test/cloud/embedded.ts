import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { TokenInput } from '../../src/cloud/directory.ts'
import { startCloud, type Cloud } from '../../src/cloud/index.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { systemRandom } from '../../src/kernel/random.ts'
import { findFolders } from '../../src/machine/folders.ts'
import type { Machine } from '../../src/machine/machine.ts'
import { makeTestToken } from './test-cloud.ts'

/** The cloud as it is shipped, on a folder of its own, which can be stopped and comes back at the same address. */
export interface EmbeddedCloud extends AsyncDisposable {
  readonly url: string
  readonly directory: Cloud['directory']
  /** A token of the account `ours` with every scope and space. */
  makeToken(input?: Partial<TokenInput>): Promise<{ readonly token: string; readonly id: string }>
  stop(): Promise<void>
  start(): Promise<void>
  /** A computer with folders of its own. */
  makeMachine(): Machine
}

export async function startEmbeddedCloud(): Promise<EmbeddedCloud> {
  const home = mkdtempSync(join(tmpdir(), 'tidemark-embedded-'))
  // It shares its thread with the clients: a late event loop is their work.
  const options = { data: join(home, 'cloud'), limits: { loopDelayMs: 0 }, logger: silentLogger }
  let cloud = await startCloud({ ...options, port: 0 })
  const { url } = cloud
  let machines = 0
  return {
    url,
    get directory() {
      return cloud.directory
    },
    makeToken: (input) => makeTestToken(cloud.directory, input),
    stop: () => cloud.close(),
    async start() {
      cloud = await startCloud({ ...options, port: Number(new URL(url).port) })
    },
    makeMachine() {
      const data = join(home, `machine-${++machines}`)
      const folders = findFolders({ TIDEMARK_DATA_DIR: data, TIDEMARK_CONFIG: join(data, 'config.json') })
      return { folders, clock: systemClock, random: systemRandom }
    },
    async [Symbol.asyncDispose]() {
      await cloud.close()
      rmSync(home, { recursive: true, force: true })
    },
  }
}
