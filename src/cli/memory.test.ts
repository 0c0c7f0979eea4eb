import { execFileSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'

import { expect, test } from 'vitest'

const MEMORY = pathToFileURL(join(import.meta.dirname, 'memory.ts')).href
/** Fills the young generation with what survives; tells how many times its first size it has then. */
const GROWTH = `
  import { getHeapSpaceStatistics } from 'node:v8'
  import { favourMemory } from '${MEMORY}'
  const young = () => getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_size
  favourMemory(process.env.NODE_OPTIONS)
  const first = young()
  const kept = []
  for (let at = 0; at < 1_000_000; at++) kept[at % 200_000] = { at }
  console.log(young() / first)`

const growth = (nodeOptions: string): number =>
  Number(
    execFileSync(process.execPath, ['--input-type=module', '--eval', GROWTH], {
      env: { ...process.env, NODE_OPTIONS: nodeOptions },
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  )

test('the young generation stays small, unless the operator says how large it may be', () => {
  expect(growth('')).toBeLessThan(3)
  expect(growth('--max-semi-space-size=16')).toBeGreaterThan(3)
})
