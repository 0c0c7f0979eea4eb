import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { prepareBinaries, POSTGRES_IDS } from './binaries.ts'
import { copyData, restoreData } from './files.ts'
import { runGuarded, type Guarded } from './guarded.ts'

/**
 * A restarted server needs the same port again, so it is taken from below those that the system gives to
 * connections: a client that keeps trying a dead port among them would one day be given that very port.
 */
const LOWEST_PORT = 10_240
const HIGHEST_PORT = 32_767
const NEW_CLUSTER = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']
const MAX_STARTS = 400
const START_AGAIN_MS = 25

export interface PostgresOptions {
  /** Settings of the server, `name=value`. */
  readonly flags?: readonly string[]
  /** Folder with `initdb` and `postgres`; else those of the package. */
  readonly bin?: string
}

/** One real PostgreSQL of our own, which ends with this process, however that ends. */
export interface OwnPostgres extends AsyncDisposable {
  /** The database `postgres`, as its superuser. The same after each start. */
  readonly url: string
  /** Its folder: data, socket, copies. It goes with the server. */
  readonly folder: string
  readonly pid: number
  /** The end of its log since the last start. */
  log(): string
  /** kill −9 of it and of its children, as when the power goes; fulfilled when all of them are gone. */
  kill(): Promise<void>
  /** Fast: connections are broken off, a checkpoint is made. */
  stop(): Promise<void>
  start(): Promise<void>
  /** It and all of its children stand still until `resume`: connections stay open, nobody answers. Linux only. */
  pause(): Promise<void>
  resume(): void
  /** A base backup of the running server, or the files of one that is not; a folder for `restoreFiles`. */
  copyFiles(): Promise<string>
  /** Puts an older copy in the place of the data; the server must not run. */
  restoreFiles(copy: string): Promise<void>
}

export async function startPostgres({ flags = [], bin }: PostgresOptions = {}): Promise<OwnPostgres> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-postgres-'))
  if (POSTGRES_IDS.uid !== undefined) chownSync(folder, POSTGRES_IDS.uid, POSTGRES_IDS.gid ?? 0)
  try {
    const programs = bin ?? prepareBinaries(join(folder, 'package'))
    return await serve(folder, programs, flags)
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

async function serve(folder: string, programs: string, flags: readonly string[]): Promise<OwnPostgres> {
  const data = join(folder, 'data')
  // Whatever holds the folder: the next one is there before the last one leaves.
  let guard = await runGuarded(folder, join(programs, 'initdb'), ['-D', data, ...NEW_CLUSTER])
  await guard.ended
  if (!existsSync(join(data, 'PG_VERSION'))) {
    await guard.leave('remove')
    throw new Error(`no PostgreSQL can be made: ${guard.said()}`)
  }
  let running = false
  let paused: readonly number[] = []
  let port = await findPort()

  async function startOnce(): Promise<void> {
    const where = ['-D', data, '-p', String(port), '-k', folder]
    const settings = ['listen_addresses=127.0.0.1', ...flags].flatMap((flag) => ['-c', flag])
    const next = await runGuarded(folder, join(programs, 'postgres'), [...where, ...settings])
    await guard.leave('keep')
    guard = next
    running = await untilReady(next)
    void next.ended.then(() => (running &&= guard !== next))
    if (!running) throw new Error(`PostgreSQL does not start: ${next.said()}`)
  }

  /** After a kill the port or the shared memory may be held for a moment longer: asked again until they are not. */
  async function start(isFirst: boolean): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await startOnce()
      } catch (error) {
        const isHeld = /pre-existing shared memory|lock file .* already exists|could not bind/
        if (tries >= MAX_STARTS || !isHeld.test(guard.said())) throw error
        if (isFirst) port = await findPort()
        else await sleep(START_AGAIN_MS)
      }
    }
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (!running) return
    running = false
    // Killed with it: who computes would go on to the end of the statement before noticing; and one that was born
    // between the look and the kill may wait for ever for what the others held, with the port in its hands.
    if (signal === 'SIGKILL') await standStill([guard.pid])
    const orphans = signal === 'SIGKILL' ? childrenOf(guard.pid) : paused
    signalAll([guard.pid], signal)
    signalAll(orphans, 'SIGKILL')
    signalAll([guard.pid], 'SIGCONT')
    paused = []
    await guard.ended
  }

  const server: OwnPostgres = {
    get url() {
      return `postgres://postgres@127.0.0.1:${port}/postgres`
    },
    folder,
    get pid() {
      return guard.pid
    },
    log: () => guard.said(),
    kill: () => end('SIGKILL'),
    stop: () => end('SIGINT'),
    async start() {
      if (!running) await start(false)
    },
    async pause() {
      // The parent first: it makes no more children then.
      await standStill([guard.pid])
      paused = childrenOf(guard.pid)
      await standStill(paused)
    },
    resume() {
      signalAll([...paused, guard.pid], 'SIGCONT')
      paused = []
    },
    copyFiles: () => copyData(folder, running ? server.url : null),
    async restoreFiles(copy) {
      if (running) throw new Error('files are put back under a server that does not run')
      await restoreData(folder, copy)
    },
    async [Symbol.asyncDispose]() {
      await end('SIGQUIT')
      await guard.leave('remove')
    },
  }
  try {
    await start(true)
  } catch (error) {
    await server[Symbol.asyncDispose]()
    throw error
  }
  return server
}

/** False when it ended instead. */
function untilReady(guarded: Guarded): Promise<boolean> {
  return new Promise((resolve) => {
    guarded.onSaid(() => {
      // A standby's are read-only ones.
      if (/ready to accept (?:read-only )?connections/.test(guarded.said())) resolve(true)
    })
    void guarded.ended.then(() => resolve(false))
  })
}

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}

/** A signal comes a moment after it is sent: fulfilled when all of them have stopped, or are gone. */
async function standStill(pids: readonly number[]): Promise<void> {
  signalAll(pids, 'SIGSTOP')
  for (let tries = 0; pids.some(goesOn); tries++) {
    if (tries > MAX_STARTS) throw new Error('PostgreSQL does not stand still')
    await sleep(1)
  }
}

function goesOn(pid: number): boolean {
  try {
    return !/^State:\s+[TZ]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

/** None where there is no /proc: they notice a kill by themselves, in a while. */
function childrenOf(pid: number): number[] {
  const list = `/proc/${pid}/task/${pid}/children`
  return existsSync(list) ? readFileSync(list, 'utf8').split(' ').filter(Boolean).map(Number) : []
}

async function findPort(): Promise<number> {
  for (let tries = 0; tries < MAX_STARTS; tries++) {
    const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT))
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer()
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
  throw new Error('no free port')
}
