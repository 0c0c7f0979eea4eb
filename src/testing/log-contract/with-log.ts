import { test } from 'vitest'

import { SPACE, START, type LogHarness, type OpenLog } from './harness.ts'

export type Run = (name: string, body: (harness: LogHarness) => Promise<void>) => void

/** Tests of one storage each, with one space made. */
export function withLog(open: OpenLog): Run {
  return (name, body) => {
    test(name, async () => {
      await using harness = await open(START)
      await harness.log.ensureSpace(SPACE)
      await body(harness)
    })
  }
}
