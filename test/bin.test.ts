import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { expect, test } from 'vitest'

import { ERRORS } from '../src/kernel/errors.ts'

const run = promisify(execFile)
const BIN = join(import.meta.dirname, '../bin/tidemark.js')

/** Starts the bin on a Node that says it is `version`. */
const startOn = (version: string): Promise<{ stdout: string; stderr: string }> => {
  const pretend = `Object.defineProperty(process,'versions',{value:{...process.versions,node:'${version}'}})`
  return run(process.execPath, ['--import', `data:text/javascript,${pretend}`, BIN, '--version'])
}

test.each(['18.20.4', '20.20.2', '22.18.0', '23.0.0', '23.11.0'])(
  'Node %s is refused in words, before anything is loaded',
  async (version) => {
    const failure = await startOn(version).then(
      () => null,
      (error: { code: number; stderr: string; stdout: string }) => error,
    )
    expect(failure).toMatchObject({ code: 1, stdout: '' })
    expect(failure?.stderr).toContain(ERRORS.node_too_old.title)
    expect(failure?.stderr).toContain(ERRORS.node_too_old.hint)
    expect(failure?.stderr.trimEnd().split('\n')).toHaveLength(2)
  },
)

test.each(['22.19.0', '22.23.0', '24.0.0', '25.1.0'])('Node %s gets past the check', async (version) => {
  const { stdout } = await startOn(version)
  expect(stdout).toMatch(/^\d+\.\d+\.\d+/)
})

test('the code is checked against the types of the oldest Node that is allowed', () => {
  const { engines, devDependencies } = JSON.parse(
    readFileSync(join(import.meta.dirname, '../package.json'), 'utf8'),
  ) as { engines: { node: string }; devDependencies: { [name: string]: string } }
  // Newer types would let in what it does not have, as they did once: `tidemark run` died of it.
  const oldest = /^\^(\d+\.\d+) \|\| >=\d+$/.exec(engines.node)?.[1]
  expect(devDependencies['@types/node']).toBe(`~${oldest}.0`)
  expect(ERRORS.node_too_old.hint).toContain(oldest)
})
