import { spawn } from 'node:child_process'

import { POSTGRES_IDS } from './binaries.ts'

/**
 * Runs "$@" and outlives it, until it is told on its input what is to become of the folder $0. When the input
 * ends, by the death of whoever holds its other end too, the command is killed and the folder goes with it. A
 * stopped command is woken, or it would never see the signal. The `wait` takes the command's place in the table
 * of processes away: a dead server that is still listed there would keep the next one from starting.
 */
const GUARD = `
exec 3<&0
"$@" </dev/null >/dev/null 3<&- &
pid=$!
exec 2>/dev/null
echo "$pid"
(
  exec >/dev/null
  read -r order <&3
  [ "$order" = keep ] && exit 0
  [ "$order" = remove ] || { kill -QUIT "$pid"; kill -CONT "$pid"; }
  exit 1
) &
watch=$!
wait "$pid"
exec >/dev/null
wait "$watch" || rm -rf "$0" || { sleep 1; rm -rf "$0"; }
`
const MAX_SAID = 32_768

/** A command that cannot outlive its owner, nor can its folder. */
export interface Guarded {
  readonly pid: number
  /** The end of what it has written to its error output. */
  said(): string
  /** Calls back at each text that it writes there. */
  onSaid(listener: () => void): void
  /** Fulfilled when the command and all of its children are gone: none of them holds its error output any more. */
  readonly ended: Promise<unknown>
  /** After the end: takes the guard away, and the folder with it or not. */
  leave(folder: 'keep' | 'remove'): Promise<void>
}

export async function runGuarded(
  folder: string,
  program: string,
  options: readonly string[],
): Promise<Guarded> {
  const child = spawn('/bin/sh', ['-c', GUARD, folder, program, ...options], {
    ...POSTGRES_IDS,
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC' },
    // A group of its own: Ctrl+C in the terminal must not take the guard before what it guards.
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const guardGone = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const ended = Promise.all([
    new Promise((resolve) => child.stderr.once('end', resolve)),
    new Promise((resolve) => child.stdout.once('end', resolve)),
  ])
  // The guard may be gone before it is told anything.
  child.stdin.on('error', () => {})
  let said = ''
  child.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-MAX_SAID)))
  const pid = await new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.stdout.once('data', (line: Buffer) => resolve(Number(line.toString())))
    void guardGone.then(() => reject(new Error(`no guard for ${program}: ${said}`)))
  })
  return {
    pid,
    ended,
    said: () => said,
    onSaid: (listener) => void child.stderr.on('data', listener),
    async leave(folder) {
      child.stdin.end(`${folder}\n`)
      await guardGone
    },
  }
}
