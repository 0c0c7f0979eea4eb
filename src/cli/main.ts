import { favourMemory } from './memory.ts'
import { runCli } from './program.ts'

favourMemory(process.env['NODE_OPTIONS'])

/** Asked twice to stop, the process stops at once. */
const stopping = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (stopping.signal.aborted) process.exit(130)
    stopping.abort()
  })
}
// A reader that went away (`| head`) is no error.
process.stdout.on('error', () => process.exit(0))

process.exitCode = await runCli(process.argv.slice(2), {
  out: process.stdout,
  err: process.stderr,
  env: process.env,
  input: process.stdin,
  signal: stopping.signal,
})
