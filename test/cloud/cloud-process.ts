import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts')

export interface CloudProcess extends AsyncDisposable {
  readonly url: string
  /** Of its metrics; null when they are not served. */
  readonly metrics: string | null
  /** Most memory it ever had, in bytes; Linux only. */
  peakBytes(): number
  /** Its exit code after SIGTERM. */
  stop(): Promise<number | null>
  kill(): Promise<void>
}

/** `tidemark cloud` in a process of its own, on any free port: on a folder, or on a PostgreSQL. */
export async function startCloudProcess(
  place: string | { readonly database: string },
  ...options: readonly string[]
): Promise<CloudProcess> {
  const placed = typeof place === 'string' ? ['--data', place] : ['--database', place.database]
  const child = spawn(process.execPath, [MAIN, 'cloud', ...placed, '--port', '0', '--json', ...options], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const gone = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const told = await new Promise<{ readonly url: string; readonly metrics?: string }>((resolve, reject) => {
    void gone.then((code) => reject(new Error(`the cloud ended with ${code}`)))
    child.stdout.once('data', (line: Buffer) =>
      resolve(JSON.parse(line.toString()) as { readonly url: string; readonly metrics?: string }),
    )
  })
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await gone
  }
  return {
    url: told.url,
    metrics: told.metrics ?? null,
    peakBytes() {
      const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))
      return Number(peak?.[1]) * 1024
    },
    stop() {
      child.kill('SIGTERM')
      return gone
    },
    kill,
    [Symbol.asyncDispose]: kill,
  }
}
