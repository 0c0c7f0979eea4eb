import { describe } from 'vitest'

import { whyNoPostgres } from './binaries.ts'

/** `describe` for tests that stop or kill a server of their own; where none can be had, skipped with the reason. */
export function describeOwnPostgres(name: string, tests: () => void): void {
  const reason = whyNoPostgres()
  if (reason === null) describe(name, tests)
  else describe.skip(`${name} (skipped: ${reason})`, tests)
}
