import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { openMachine, type Machine } from '../command-line.ts'
import { hasShell, OFFERED, openShell } from './shells.ts'

let machine: Machine
beforeAll(async () => {
  machine = await openMachine()
})
afterAll(() => machine[Symbol.asyncDispose]())

describe.skipIf(!hasShell('bash'))('in bash', () => {
  test.each(OFFERED)('%s', async (line, has, lacks) => {
    using shell = openShell('bash', (await machine.tidemark('completion', 'bash')).out)
    const offered = shell.complete(line)
    expect(offered).toEqual(expect.arrayContaining([...has]))
    for (const word of lacks) expect(offered).not.toContain(word)
  })
})

test('a shell without a script is told which have one', async () => {
  const { code, err } = await machine.tidemark('completion', 'tcsh')
  expect(code).toBe(2)
  expect(err).toContain('bash, zsh, fish')
})
