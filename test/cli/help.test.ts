import { expect, test } from 'vitest'

import { EXAMPLES } from '../../src/cli/examples.ts'
import { createProgram } from '../../src/cli/create-program.ts'
import { openMachine } from '../command-line.ts'
import { listLeaves } from './leaves.ts'

const program = createProgram({ env: {}, run: () => async () => {}, endWith: () => {}, output: {} })
const leaves = listLeaves(program)

test('every command has an example', () => {
  expect(leaves.map(({ path }) => path).filter((path) => EXAMPLES[path] === undefined)).toEqual([])
  const paths = new Set(['', ...leaves.map(({ path }) => path)])
  expect(Object.keys(EXAMPLES).filter((path) => !paths.has(path))).toEqual([])
})

test.each(Object.entries(EXAMPLES).flatMap(([path, lines]) => lines.map(([line]) => [path, line] as const)))(
  '%s: %s is understood',
  (path, line) => {
    const words = /tidemark ((?:[^>)]|\)(?!$))*)/.exec(line)?.[1]?.trim().split(/\s+/) ?? []
    const command = leaves.findLast(({ path: leaf }) => `${words.join(' ')} `.startsWith(`${leaf} `))
    expect(command?.path.startsWith(path) || path === '').toBe(true)
    const given = words.slice(command?.path.split(' ').length)
    const parsed = command?.command
      .exitOverride()
      .configureOutput({ writeErr: () => {} })
      .parseOptions(given)
    // Commands take the options of those above them too.
    const above = new Set<string | undefined>()
    for (let one = command?.command; one !== undefined; one = one.parent ?? undefined)
      for (const { long, short } of one.options) above.add(long).add(short)
    expect(parsed?.unknown.filter((word) => word.startsWith('-') && !above.has(word))).toEqual([])
    const needed = command?.command.registeredArguments.filter(({ required }) => required).length ?? 0
    expect(parsed?.operands.length).toBeGreaterThanOrEqual(needed)
  },
)

test('help is no wider than 80 columns where there is no terminal', async () => {
  await using machine = await openMachine()
  for (const { path } of [{ path: '' }, ...leaves]) {
    const { out, code } = await machine.tidemark(...path.split(' ').filter((word) => word !== ''), '--help')
    expect(code).toBe(0)
    // A line to type stays whole.
    const wide = out
      .split('\n')
      .filter((line) => line.length > 80 && !line.trimStart().startsWith('tidemark '))
    expect(wide).toEqual([])
  }
})

test.each([
  [['atach'], 'attach'],
  [['sync', 'statsu'], 'status'],
  [['attach', 'x', '--spcae', 'y'], '--space'],
  [['config', 'get', 'endpiont'], 'endpoint'],
])('%j: did you mean %s?', async (words, meant) => {
  await using machine = await openMachine()
  const { code, err } = await machine.tidemark(...words)
  expect(code).toBe(2)
  expect(err).toContain(`Did you mean ${meant}?`)
})
