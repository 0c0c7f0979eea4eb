import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'

import type { Environment } from '../../machine/variables.ts'

/**
 * Starts a daemon that outlives this process and its terminal. What it says before its log is open, and what Node says
 * of a crash, goes into `errors`, which begins anew with each start.
 */
export function startInBackground(
  command: readonly string[],
  env: Environment,
  errors: string,
): ChildProcess {
  const [program = '', ...args] = command
  const file = openSync(errors, 'w', 0o600)
  try {
    const child = spawn(program, args, {
      // No folder is kept busy by it.
      cwd: '/',
      detached: true,
      env: { ...env },
      stdio: ['ignore', 'ignore', file],
      windowsHide: true,
    })
    child.unref()
    return child
  } finally {
    closeSync(file)
  }
}
