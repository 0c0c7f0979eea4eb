import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { listExports } from './exported-names.ts'

const ROOT = join(import.meta.dirname, '..')
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  exports: Record<string, string>
}
const entries = Object.entries(manifest.exports).filter(([name]) => name !== './package.json')

const sourceOf = (built: string): string => built.replace(/^\.\/dist\//, 'src/').replace(/\.js$/, '.ts')

/** A name that goes or appears is a decision: `npx vitest run test/public-api.test.ts -u` writes it down. */
test.each(entries)('the public names of %s', async (_name, built) => {
  const path = join(ROOT, sourceOf(built))
  const { values, types } = listExports(path)
  const loaded = (await import(path)) as Record<string, unknown>
  expect(Object.keys(loaded).sort()).toEqual(values)
  expect({ values, types }).toMatchSnapshot()
})
