import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const BIN = join(import.meta.dirname, '../../bin/tidemark.js')

export interface Ran {
  readonly code: number | null
  readonly said: string
}

/** A program under way. */
export interface Running {
  readonly child: ChildProcess
  readonly said: () => string
  readonly ended: Promise<Ran>
}

/** A home of its own, and daemons as processes of their own, none of which outlives the test. */
export interface Household extends AsyncDisposable {
  readonly folder: string
  readonly home: string
  readonly env: { [name: string]: string }
  /** Runs `tidemark …` to its end. */
  tidemark(...args: readonly string[]): Promise<Ran>
  /** Starts it; `by` are words before it, such as those of strace. */
  start(args: readonly string[], by?: readonly string[]): Running
}

export function openHousehold(): Household {
  // With a blank, as the folders of some people have it.
  const folder = mkdtempSync(join(tmpdir(), 'tidemark house-'))
  const home = join(folder, 'home')
  const env: { [name: string]: string } = { PATH: process.env['PATH'] ?? '', TIDEMARK_DAEMON_PORT: '0' }
  const children = new Set<Running>()
  const start = (args: readonly string[], by: readonly string[] = []): Running => {
    const [program = '', ...rest] = [...by, process.execPath, BIN, '--home', home, ...args]
    const child = spawn(program, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text: Buffer) => (said += text.toString()))
    const ended = new Promise<Ran>((resolve) => child.once('close', (code) => resolve({ code, said })))
    const running = { child, said: () => said, ended }
    children.add(running)
    void ended.then(() => children.delete(running))
    return running
  }
  return {
    folder,
    home,
    env,
    start,
    tidemark: (...args) => start(args).ended,
    async [Symbol.asyncDispose]() {
      await start(['daemon', 'stop']).ended
      for (const { child, ended } of children) {
        child.kill('SIGKILL')
        await ended
      }
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Whether a command of the system works here: some need rights that a container lacks. */
export const isPossible = (program: string, ...args: readonly string[]): Promise<boolean> =>
  new Promise((resolve) => {
    execFile(program, args, (error) => resolve(error === null))
  })
