import { readdirSync, readFileSync } from 'node:fs'

import { describe, expect, it } from 'vitest'

import { editSource } from './mutations/apply.ts'
import { MUTATIONS } from './mutations/list.ts'
import { planCase, type Case } from './plan.ts'
import { runCase } from './simulate.ts'

const SEEDS = 24
const STEPS = 80

describe('simulation', () => {
  it('runs byte for byte the same for the same seed', async () => {
    const planned = planCase(3, { steps: STEPS, store: 'memory' })
    const [first, second] = [await runCase(planned), await runCase(planned)]
    expect(first.violation).toBeNull()
    expect(second.hash).toBe(first.hash)
    expect(second.events).toBe(first.events)
    const other = await runCase(planCase(4, { steps: STEPS, store: 'memory' }))
    expect(other.hash).not.toBe(first.hash)
  })

  it(`I1–I13: ${SEEDS} seeds of ${STEPS} steps are clean`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { violation } = await runCase(planCase(seed, { steps: STEPS, store: 'memory' }))
      expect({ seed, violation }).toEqual({ seed, violation: null })
    }
  })

  it('I1–I13: a few seeds are clean on real SQLite files', async () => {
    for (let seed = 1; seed <= 3; seed++) {
      const { violation } = await runCase(planCase(seed, { steps: 40, store: 'sqlite' }))
      expect({ seed, violation }).toEqual({ seed, violation: null })
    }
  })

  it('changes nothing it reads of a plan: a case that was saved is the case that was planned', async () => {
    const planned = planCase(5, { steps: STEPS, store: 'memory' })
    const saved = JSON.parse(JSON.stringify(planned)) as Case
    expect((await runCase(saved)).hash).toBe((await runCase(planned)).hash)
  })
})

describe('cases that broke once', () => {
  const folder = new URL('./seeds/', import.meta.url)
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'))
  it.each(files)('%s', async (name) => {
    const found = JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Case
    expect((await runCase(found)).violation).toBeNull()
  })
})

describe('mutations', () => {
  it.each(MUTATIONS.map(({ name, edits }) => [name, edits] as const))('%s finds its text', (_name, edits) => {
    for (const edit of edits) {
      const source = readFileSync(new URL(`../src/${edit.file}`, import.meta.url), 'utf8')
      expect(editSource(source, edit)).not.toBe(source)
    }
  })
})
