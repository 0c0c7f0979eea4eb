import { spawn, type ChildProcess } from 'node:child_process'

/** Processes that are killed and started again, and none of which outlives its test. */
export interface Processes {
  /** Runs a script with this Node. */
  start(script: string, ...args: readonly string[]): ChildProcess
  /** What ended badly though nobody killed it. */
  readonly failures: string[]
  killAll(): Promise<void>
}

export function openProcesses(): Processes {
  const started = new Set<ChildProcess>()
  const failures: string[] = []
  return {
    failures,
    start(script, ...args) {
      const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
      started.add(child)
      let text = ''
      child.stderr?.on('data', (chunk: Buffer) => (text = (text + chunk.toString()).slice(-4_000)))
      child.stdout?.on('data', () => {})
      child.on('exit', (code, signal) => {
        started.delete(child)
        if (code !== 0 && signal !== 'SIGKILL' && signal !== 'SIGTERM')
          failures.push(`${args.join(' ')} ended with ${code}: ${text}`)
      })
      return child
    },
    async killAll() {
      await Promise.all([...started].map((child) => stop(child, 'SIGKILL')))
    },
  }
}

export const isRunning = (child: ChildProcess): boolean =>
  child.exitCode === null && child.signalCode === null

export function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.kill(signal)
  })
}
