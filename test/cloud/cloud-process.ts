import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts')

export interface CloudProcess extends AsyncDisposable {
  readonly url: string
  /** Most memory it ever had, in bytes; Linux only. */
  peakBytes(): number
}

/** `tidemark cloud` in a process of its own, on any free port. */
export async function startCloudProcess(data: string, ...options: readonly string[]): Promise<CloudProcess> {
  const child = spawn(
    process.execPath,
    [MAIN, 'cloud', '--data', data, '--port', '0', '--json', ...options],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  )
  const gone = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const url = await new Promise<string>((resolve, reject) => {
    void gone.then((code) => reject(new Error(`the cloud ended with ${code}`)))
    child.stdout.once('data', (line: Buffer) =>
      resolve((JSON.parse(line.toString()) as { readonly url: string }).url),
    )
  })
  return {
    url,
    peakBytes() {
      const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))
      return Number(peak?.[1]) * 1024
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await gone
    },
  }
}
